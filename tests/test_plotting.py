import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
pd = pytest.importorskip("pandas")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from skinfluence.plotting import (  # noqa: E402
    DetectionCurveDisplay,
    ScoreDistributionDisplay,
    SuspectRowsDisplay,
    SuspectShareDisplay,
)

IS_NOISY = np.array([True, False] + [False] * 7 + [True])


@pytest.fixture
def detector():
    scores = np.arange(10.0)
    given = ["a"] * 4 + ["b"] * 6
    issues = pd.DataFrame(
        {
            "row": range(10),
            "given_label": given,
            "suggested_label": "c",
            "score": scores,
            "is_suspect": scores < 2,
        },
        index=[f"id{i}" for i in range(10)],
    )
    return SimpleNamespace(scores_=scores, offset_=2.0, inlier_mask_=scores >= 2, issues_=issues)


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def drawings(detector):
    return {
        "scores": lambda **kw: ScoreDistributionDisplay.from_detector(detector, **kw),
        "curve": lambda **kw: DetectionCurveDisplay.from_detector(detector, IS_NOISY, **kw),
        "share": lambda **kw: SuspectShareDisplay.from_detector(detector, **kw),
        "rows": lambda **kw: SuspectRowsDisplay.from_detector(detector, **kw),
    }


@pytest.mark.parametrize("which", ["scores", "curve", "share", "rows"])
def test_display_draws_into_the_given_axes(detector, ax, which):
    display = drawings(detector)[which](ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_xlabel()
    assert ax.get_ylabel()


@pytest.mark.parametrize("which", ["scores", "curve", "share", "rows"])
def test_display_makes_a_figure_of_its_own(detector, which):
    display = drawings(detector)[which]()
    display.figure_.canvas.draw()
    assert display.ax_.figure is display.figure_


def test_score_histogram_holds_every_row_and_the_threshold(detector, ax):
    ScoreDistributionDisplay.from_detector(detector, ax=ax)
    assert sum(bar.get_height() for bar in ax.patches) == 10
    assert ax.lines[0].get_xdata()[0] == 2.0
    assert "20% below" in ax.get_legend().get_texts()[0].get_text()


def test_score_histogram_sets_known_culprits_apart(detector, ax):
    ScoreDistributionDisplay.from_detector(detector, is_noisy=IS_NOISY, ax=ax)
    clean, noisy = ax.containers
    assert sum(bar.get_height() for bar in clean) == 8
    assert sum(bar.get_height() for bar in noisy) == 2


def test_score_histogram_without_threshold_has_no_line(ax):
    ScoreDistributionDisplay([1.0, 2.0]).plot(ax)
    assert not ax.lines
    assert ax.get_legend() is None


def test_detection_curve_shows_ideal_random_and_what_was_flagged(detector, ax):
    display = DetectionCurveDisplay.from_detector(detector, IS_NOISY, name="mine", ax=ax)
    np.testing.assert_allclose(display.line_.get_ydata(), [0] + [0.5] * 9 + [1])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["mine (AUC 0.500)", "perfect", "random order", "flagged: 50% found"]


def test_several_detection_curves_share_what_they_are_compared_with(ax):
    for name in ("one", "two"):
        DetectionCurveDisplay.from_scores([True, False], [0.0, 1.0], name=name, ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["one (AUC 1.000)", "perfect", "random order", "two (AUC 1.000)"]
    assert ax.lines[0].get_color() != ax.lines[-1].get_color()


def test_suspect_share_counts_by_class(detector, ax):
    display = SuspectShareDisplay.from_detector(detector, ax=ax)
    assert [bar.get_width() for bar in display.bars_] == [0.5, 0.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_suspect_share_of_many_classes_keeps_the_worst(ax):
    n_suspects = np.zeros(50, dtype=int)
    n_suspects[[7, 33]] = 4
    display = SuspectShareDisplay([f"c{i}" for i in range(50)], np.full(50, 5), n_suspects).plot(
        ax, max_classes=2
    )
    assert len(display.bars_) == 2
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c7", "c33"]


def test_long_names_that_shorten_alike_keep_their_own_bars(ax):
    names = ["x" * 60 + end for end in "ab"]
    assert len(SuspectShareDisplay(names, [2, 2], [1, 0]).plot(ax).bars_) == 2
    assert [bar.get_y() for bar in ax.patches] == pytest.approx([-0.4, 0.6])


def test_dollar_signs_in_labels_are_not_read_as_formulae(ax):
    display = SuspectShareDisplay(["$<^broken$", "b$"], [2, 2], [1, 0]).plot(ax)
    display.figure_.canvas.draw()


def test_suspect_rows_are_sorted_and_named_by_the_index(detector, ax):
    display = SuspectRowsDisplay.from_detector(detector, top=3, ax=ax)
    assert [bar.get_width() for bar in display.bars_] == [2.0, 1.0, 0.0]
    assert ax.get_yticklabels()[0].get_text() == "id0: a → c"


def test_importing_the_displays_does_not_import_matplotlib():
    code = "import sys, skinfluence.plotting; print('matplotlib' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
