"""Draw the figure of README and of the front page again: python docs/front.py"""

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

docs = Path(__file__).parent
plt.show = lambda: None
(example,) = (docs.parent / "examples").rglob("plot_*quickstart.py")
runpy.run_path(str(example))
plt.savefig(docs / "_static" / "front.png", dpi=120)
