"""What all displays share: axes, colours, and names that matplotlib can print."""

import numpy as np

# Okabe and Ito's colours, told apart with every common kind of colour blindness.
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"


def axes(ax):
    """The axes to draw into and their figure; a new one where none is given."""
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "drawing needs matplotlib: pip install 'skinfluence[audit]'."
            ) from error
        ax = plt.subplots(layout="constrained")[1]
    return ax, ax.figure


def label_text(label):
    """Text of a label; numbers in four digits."""
    return f"{label:.4g}" if isinstance(label, (float, np.floating)) else str(label)


def shorten(text, width=24):
    """At most `width` characters of a text, safe for matplotlib."""
    # "$" would start matplotlib's mathtext: a column of prices must not be read as a formula
    text = str(text).replace("$", r"\$")
    return text if len(text) <= width else text[: width - 1] + "…"
