"""
Which rows teach a language model a task?
=========================================

A language model of 135 million parameters is fine-tuned on sentences that are to be transformed in
one of four ways. For each sentence that it never saw: which training rows helped?
"""

# %%
# The model comes in a package; only adapters in its last two layers learn, and what lies below them
# is computed once a row (``module__cache``).
from skinfluence import InfluenceScorer
from skinfluence.datasets import make_sentence_transformations
from skinfluence.pairwise import influence_matrix
from skinfluence.text import CausalLM, packaged_model

ways = ["repeat_words", "insert_ones", "replace_vowels", "reverse_words"]
tasks = make_sentence_transformations(
    n_train_per_class=8, n_test_per_class=2, random_state=0
)
train = [i for way in ways for i in (tasks.classes == way).nonzero()[0]]
test = [i for way in ways for i in (tasks.classes_test == way).nonzero()[0]]

net = CausalLM(
    packaged_model("smollm2"),
    module__layers=2,
    module__cache=True,
    max_epochs=2,
    lr=2e-3,
    batch_size=8,
)
scorer = InfluenceScorer(net, normalize="both", random_state=0)
scorer.fit(
    tasks.prompts[train],
    tasks.answers[train],
    X_val=tasks.prompts_test[test],
    y_val=tasks.answers_test[test],
)

# %%
# A column for each new sentence, a row for each that the model was trained on. Gradients are scaled
# to length 1: long answers have short gradients, and the plain inner product prefers the others.
import matplotlib.pyplot as plt

matrix = influence_matrix(scorer, tasks.prompts[train], tasks.answers[train])
figure, ax = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
largest = abs(matrix).max()
image = ax.imshow(
    matrix, cmap="PuOr", vmin=-largest, vmax=largest, aspect="auto"
)
names = [way.replace("_", " ") for way in ways]
ax.set_xticks([0.5, 2.5, 4.5, 6.5], names)
ax.set_yticks([3.5, 11.5, 19.5, 27.5], names, rotation=90, va="center")
ax.tick_params(length=0)
for k in range(1, 4):
    ax.axvline(2 * k - 0.5, color="white", linewidth=2)
    ax.axhline(8 * k - 0.5, color="white", linewidth=2)
ax.set(xlabel="new sentence", ylabel="training row")
figure.colorbar(image, label="influence (harmful: below zero)")
plt.show()

# %%
# The rows of a sentence's own way stand out. With ten ways and ninety rows each, by other methods,
# and what the model learns from rows that are selected so: :doc:`../guide/text`.
