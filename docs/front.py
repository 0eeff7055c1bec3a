"""Draw the figure of README and of the front page again: python docs/front.py"""

import runpy
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

docs = Path(__file__).parent
plt.show = lambda: None
runpy.run_path(str(docs.parent / "examples" / "plot_quickstart.py"))
plt.savefig(docs / "_static" / "front.png", dpi=120)
