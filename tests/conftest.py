import torch

# The nets are tiny: threads that wait for each other cost more than they save, and on a busy
# machine a hundred times more.
torch.set_num_threads(1)
