"""
Are wrong labels of texts found?
================================

Tweets with the sentiment that a crowd of annotators gave them. How many of them agreed is known, so
that for once nothing has to be planted: labels on which fewer than half agreed are real noise.
"""

# %%
# The texts are embedded by a small pretrained encoder that a package carries; no hub is asked.
import numpy as np

from skinfluence import NoisyLabelDetector
from skinfluence.datasets import load_tweets
from skinfluence.text import TextEmbedder, packaged_model

tweets = load_tweets()
rows = np.random.RandomState(0).permutation(len(tweets.texts))[:1500]
texts, labels, confidence = (
    tweets.texts[rows],
    tweets.labels[rows],
    tweets.confidence[rows],
)
X = TextEmbedder(packaged_model("minilm")).fit_transform(texts)

# %%
# The detector knows the labels, not how sure the annotators were of them.
detector = NoisyLabelDetector(random_state=0).fit(X, labels)

# %%
import matplotlib.pyplot as plt

order = detector.scores_.argsort()  # most suspect first
tenth = np.arange(len(order)) * 10 // len(order)
sure = [confidence[order][tenth == k] for k in range(10)]
shares = np.array(
    [[(c < 0.5).mean(), ((c >= 0.5) & (c < 0.7)).mean()] for c in sure]
)
kinds = {"fewer than half": "#D55E00", "half to 70 %": "#56B4E9"}
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
left = np.zeros(10)
for (kind, colour), share in zip(kinds.items(), shares.T, strict=True):
    ax.bar(
        range(1, 11),
        100 * share,
        bottom=left,
        color=colour,
        label=kind,
        width=0.85,
    )
    left += 100 * share
ax.set(
    xlabel="tenth of the tweets, the most suspect first",
    ylabel="share of the tweets (%)",
    xticks=range(1, 11),
)
ax.legend(title="annotators who agreed", frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Among the first tenth, unsure labels are several times as frequent as among the last. They are
# not all found: a label of little confidence need not be wrong, nor look wrong to an encoder. How
# often, for other methods and for the encoder fine-tuned: :doc:`../guide/text`.
print(
    f"{(confidence < 0.5).mean():.3f} of all, {(sure[0] < 0.5).mean():.3f} of the first tenth"
)
