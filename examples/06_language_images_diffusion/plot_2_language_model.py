"""
Which rows teach a language model a task?
=========================================

A language model of 135 million parameters is fine-tuned to transform
sentences. Each row asks for one of four transformations. Which training rows
helped with a new sentence? On average, rows with the same transformation have
about twice the influence of the other rows.
"""

# %%
# The model comes in a Python package. Only adapters in the last layer are
# trained. The outputs of the layers below are computed once for each row and
# then cached (``module__cache``).
from skinfluence import InfluenceScorer
from skinfluence.datasets import make_sentence_transformations
from skinfluence.pairwise import influence_matrix
from skinfluence.text import CausalLM, packaged_model

TRAIN, TEST = 6, 2  # rows per transformation
ways = ["repeat_words", "insert_ones", "replace_vowels", "reverse_words"]
tasks = make_sentence_transformations(
    n_train_per_class=TRAIN, n_test_per_class=TEST, random_state=0
)
train = [i for way in ways for i in (tasks.classes == way).nonzero()[0]]
test = [i for way in ways for i in (tasks.classes_test == way).nonzero()[0]]
X, y = tasks.prompts[train], tasks.answers[train]
X_new, y_new = tasks.prompts_test[test], tasks.answers_test[test]
for prompt, answer in zip(X[::TRAIN], y[::TRAIN], strict=True):
    print(prompt, answer, sep="\n    ")

# %%
# Gradients are scaled to length 1 (``normalize="both"``). Without this
# scaling, rows with short answers would dominate, because their gradients are
# longer than the gradients of rows with long answers.
net = CausalLM(
    packaged_model("smollm2"),
    module__layers=1,
    module__cache=True,
    max_epochs=2,
    lr=2e-3,
    batch_size=8,
)
scorer = InfluenceScorer(net, normalize="both", random_state=0)
scorer.fit(X, y, X_val=X_new, y_val=y_new)
matrix = influence_matrix(scorer, X, y)

# %%
# Each row of the matrix is a training row, and each column is a new sentence.
# If a score is below zero, the training row harms the prediction for the
# sentence. The blocks on the diagonal have high scores: in these blocks, the
# training rows and the new sentences have the same transformation.
import matplotlib.pyplot as plt
import numpy as np

figure, ax = plt.subplots(figsize=(6, 4.8), layout="constrained")
largest = abs(matrix).max()
image = ax.imshow(
    matrix, cmap="PuOr", vmin=-largest, vmax=largest, aspect="auto"
)
names = [way.replace("_", "\n") for way in ways]
at = np.arange(len(ways))
ax.set_xticks((at + 0.5) * TEST - 0.5, names)
ax.set_yticks((at + 0.5) * TRAIN - 0.5, names)
ax.tick_params(length=0)
for k in at[1:]:
    ax.axvline(k * TEST - 0.5, color="white", linewidth=2)
    ax.axhline(k * TRAIN - 0.5, color="white", linewidth=2)
ax.set(xlabel="new sentence", ylabel="training row")
figure.colorbar(image, label="influence")
plt.show()

# %%
# We print the mean influence in the blocks with the same transformation, and
# in the blocks with different transformations:
blocks = matrix.reshape(len(ways), TRAIN, len(ways), TEST).mean((1, 3))
is_same = np.eye(len(ways), dtype=bool)
print("mean influence, same transformation:", blocks[is_same].round(2))
print(f"mean influence, another one: {blocks[~is_same].mean():.2f}")

# %%
# :doc:`/guide/text` repeats this with ten transformations and ninety training
# rows for each transformation. The page also compares other methods, and
# measures what the model learns from selected rows.
