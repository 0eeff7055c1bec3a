"""
Are wrong labels of texts found?
================================

Several annotators labeled the sentiment of each of these tweets. We know what
share of the annotators agreed on the label. If fewer than half of them agreed,
we call the label noisy, so we need not plant wrong labels. Noisy labels are
four times as frequent in the most suspect fifth of the tweets as in the least
suspect fifth.
"""

# %%
# A small pretrained encoder embeds the texts. The encoder comes in a Python
# package, so nothing is downloaded from a model hub.
import numpy as np

from skinfluence import NoisyLabelDetector
from skinfluence.datasets import load_tweets
from skinfluence.text import TextEmbedder, packaged_model

tweets = load_tweets()
rows = np.random.RandomState(0).permutation(len(tweets.texts))[:1000]
X = TextEmbedder(packaged_model("minilm")).fit_transform(tweets.texts[rows])

# %%
# The detector gets the labels, but not how many annotators agreed.
detector = NoisyLabelDetector(random_state=0).fit(X, tweets.labels[rows])
order = detector.scores_.argsort()  # most suspect first
fifths = np.array_split(tweets.confidence[rows][order], 5)

# %%
import matplotlib.pyplot as plt

agreement = {
    "fewer than half": ([(c < 0.5).mean() for c in fifths], "tab:orange"),
    "half to 70 %": (
        [((c >= 0.5) & (c < 0.7)).mean() for c in fifths],
        "tab:blue",
    ),
}
figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
bottom = np.zeros(5)
for name, (share, color) in agreement.items():
    share = 100 * np.array(share)
    ax.bar(range(1, 6), share, bottom=bottom, color=color, label=name)
    bottom += share
ax.set(
    xlabel="fifth of the tweets, most suspect first",
    ylabel="share of the tweets (%)",
    xticks=range(1, 6),
)
ax.legend(title="annotators who agreed", frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The detector does not find all noisy labels. If annotators disagree on a
# label, it may still be right, or may seem right to an encoder.
# :doc:`/guide/text` compares other methods, and fine-tunes the encoder.
print("fewer than half of the annotators agreed on")
print(f"    {(tweets.confidence[rows] < 0.5).mean():.1%} of all labels")
print(f"    {(fifths[0] < 0.5).mean():.1%} of the most suspect fifth")
print(f"    {(fifths[-1] < 0.5).mean():.1%} of the least suspect fifth")
