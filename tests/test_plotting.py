"""Displays draw what they are given, into the given axes, and need matplotlib only to draw."""

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
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.naive_bayes import GaussianNB  # noqa: E402

from skinfluence import NoisyLabelDetector  # noqa: E402
from skinfluence.plotting import (  # noqa: E402
    VERMILION,
    AgreementDisplay,
    DetectionCurveDisplay,
    ImageGridDisplay,
    InfluenceDisplay,
    RemovalCurveDisplay,
    ScoreDistributionDisplay,
    SuspectRowsDisplay,
    SuspectShareDisplay,
    rows_table,
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
def test_display_makes_a_figure_if_it_is_given_no_axes(detector, which):
    display = drawings(detector)[which]()
    display.figure_.canvas.draw()
    assert display.ax_.figure is display.figure_


def test_score_histogram_holds_every_row_and_the_threshold(detector, ax):
    ScoreDistributionDisplay.from_detector(detector, ax=ax)
    assert sum(bar.get_height() for bar in ax.patches) == 10
    assert ax.lines[0].get_xdata()[0] == 2.0
    assert "20% below" in ax.get_legend().get_texts()[0].get_text()


def test_score_histogram_separates_mislabeled_rows(detector, ax):
    ScoreDistributionDisplay.from_detector(detector, is_noisy=IS_NOISY, ax=ax)
    clean, noisy = ax.containers
    assert sum(bar.get_height() for bar in clean) == 8
    assert sum(bar.get_height() for bar in noisy) == 2


def test_score_histogram_without_threshold_has_no_line(ax):
    ScoreDistributionDisplay([1.0, 2.0]).plot(ax)
    assert not ax.lines
    assert ax.get_legend() is None


def test_detection_curve_shows_perfect_and_random_order_and_the_flagged_share(detector, ax):
    display = DetectionCurveDisplay.from_detector(detector, IS_NOISY, name="mine", ax=ax)
    np.testing.assert_allclose(display.line_.get_ydata(), [0] + [0.5] * 9 + [1])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["mine (AUC 0.500)", "perfect", "random order", "flagged: 50% found"]


def test_several_detection_curves_share_the_perfect_and_the_random_curve(ax):
    for name in ("one", "two"):
        DetectionCurveDisplay.from_scores([True, False], [0.0, 1.0], name=name, ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["one (AUC 1.000)", "perfect", "random order", "two (AUC 1.000)"]
    assert ax.lines[0].get_color() != ax.lines[-1].get_color()


def test_suspect_share_counts_by_class(detector, ax):
    display = SuspectShareDisplay.from_detector(detector, ax=ax)
    assert [bar.get_width() for bar in display.bars_] == [0.5, 0.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_suspect_share_keeps_the_classes_with_the_largest_shares(ax):
    n_suspects = np.zeros(50, dtype=int)
    n_suspects[[7, 33]] = 4
    display = SuspectShareDisplay([f"c{i}" for i in range(50)], np.full(50, 5), n_suspects).plot(
        ax, max_classes=2
    )
    assert len(display.bars_) == 2
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c7", "c33"]


@pytest.mark.parametrize(("n_suspects", "end"), [(1, 0.35), (4, 1.0)])
def test_shares_end_at_the_latest_at_one(ax, n_suspects, end):
    SuspectShareDisplay(["a", "b"], [4, 4], [0, n_suspects]).plot(ax)
    assert ax.get_xlim() == pytest.approx((0, end))


def test_names_that_are_equal_once_shortened_keep_separate_bars(ax):
    names = ["x" * 60 + end for end in "ab"]
    assert len(SuspectShareDisplay(names, [2, 2], [1, 0]).plot(ax).bars_) == 2
    assert [bar.get_y() for bar in ax.patches] == pytest.approx([-0.4, 0.6])


def test_dollar_signs_in_labels_are_not_formulas(ax):
    display = SuspectShareDisplay(["$<^broken$", "b$"], [2, 2], [1, 0]).plot(ax)
    display.figure_.canvas.draw()


def test_suspect_rows_are_sorted_and_named_by_the_index(detector, ax):
    display = SuspectRowsDisplay.from_detector(detector, top=3, ax=ax)
    assert [bar.get_width() for bar in display.bars_] == [2.0, 1.0, 0.0]
    assert ax.get_yticklabels()[0].get_text() == "id0: a → c"


def test_removal_curve_draws_each_order_and_the_band_of_the_random_draws(ax):
    display = RemovalCurveDisplay(
        [0, 0.1], [0.5, 0.7], highest=[0.5, 0.3], random=[[0.5, 0.5], [0.4, 0.6]]
    ).plot(ax)
    assert [line.get_ydata()[1] for line in display.lines_] == pytest.approx([0.7, 0.3, 0.5])
    edges = display.band_.get_paths()[0].vertices[:, 1]
    assert edges.max() - 0.5 == pytest.approx(np.std([0.4, 0.6], ddof=1))
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[-1] == "random rows (2 draws, ± sd)"


def test_removal_curve_with_only_the_lowest_scores_has_one_line(ax):
    display = RemovalCurveDisplay([0, 0.1], [0.5, 0.7]).plot(ax)
    assert len(ax.lines) == 1
    assert display.band_ is None


def test_agreement_shows_every_pair_and_the_mean_rank_correlation(ax):
    scores = np.arange(6.0).reshape(3, 2)
    display = AgreementDisplay.from_changes(scores, scores * [1, -1], name="mine", ax=ax)
    assert len(display.points_.get_offsets()) == 6
    assert display.correlation_ == pytest.approx(0)
    assert ax.get_legend().get_texts()[0].get_text() == "mine: mean rank correlation 0.00"


def test_influence_is_sorted_by_class_with_colors_symmetric_about_zero(ax):
    matrix = np.arange(6.0).reshape(3, 2)
    display = InfluenceDisplay.from_matrix(matrix, ["b", "a", "b"], [1, 0], ax=ax)
    np.testing.assert_array_equal(display.cells_, [[3, 2], [1, 0], [5, 4]])
    low, high = display.image_.get_clim()
    assert low == -high
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


def test_influence_of_many_rows_is_averaged_within_classes(ax):
    y = np.repeat([0, 1], [300, 100])
    display = InfluenceDisplay(np.repeat([[1.0], [-1.0]], [300, 100], axis=0), y).plot(
        ax, max_cells=40
    )
    np.testing.assert_array_equal(display.cells_[:, 0], [1] * 30 + [-1] * 10)


def test_influence_with_numeric_labels_is_sorted_without_class_names(ax):
    display = InfluenceDisplay([[1.0], [2.0], [3.0]], [0.5, 0.1, 0.3], [1.5]).plot(ax)
    assert display.cells_.ravel().tolist() == [2, 3, 1]
    assert ax.get_ylabel() == "training rows, by y"


def test_influence_refuses_labels_that_do_not_match_the_matrix(ax):
    with pytest.raises(ValueError, match=r"y_ref has shape \(3,\); expected \(2,\)"):
        InfluenceDisplay(np.zeros((3, 2)), y_ref=[0, 1, 2]).plot(ax)


def test_importing_the_displays_does_not_import_matplotlib():
    code = "import sys, skinfluence.plotting; print('matplotlib' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


# Rows as images and as a table ------------------------------------------------------------------

SCORES = np.array([3.0, -2.0, 0.5, -4.0, 1.0, 9.0])
IMAGES = np.arange(6 * 4).reshape(6, 2, 2)


def pictures(display):
    return [np.asarray(image.get_array()) for image in display.images_]


@pytest.mark.parametrize(
    "X",
    [
        IMAGES,
        IMAGES.reshape(6, 4),
        IMAGES[:, None],
        IMAGES[..., None],
        pd.DataFrame(IMAGES.reshape(6, 4)),
    ],
    ids=["images", "columns", "channel first", "channel last", "frame"],
)
def test_images_with_the_lowest_and_highest_scores_are_in_two_lines(X, ax):
    display = ImageGridDisplay.from_scores(SCORES, X, list("abcdef"), n=2, ax=ax)
    for got, row in zip(pictures(display), (3, 1, 5, 0), strict=True):
        np.testing.assert_array_equal(got, IMAGES[row])
    assert [text.get_text() for text in display.captions_] == ["d", "b", "f", "a"]
    tops = [image.get_extent()[3] for image in display.images_]
    assert tops[0] == tops[1] < tops[2] == tops[3]
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


def test_color_images_and_images_that_are_not_square(ax):
    rgb = np.random.RandomState(0).rand(6, 3, 4, 2)
    display = ImageGridDisplay.from_scores(SCORES, rgb, n=1, ax=ax)
    np.testing.assert_array_equal(pictures(display)[0], rgb[3].transpose(1, 2, 0))
    assert display.captions_[0].get_text() == "-4"
    wide = ImageGridDisplay.from_scores(SCORES, IMAGES.reshape(6, 4), n=1, shape=(1, 4))
    assert pictures(wide)[0].shape == (1, 4)


def test_images_of_suspects_have_given_and_suggested_label_as_caption(detector, ax):
    X = np.arange(10 * 9).reshape(10, 9)
    display = ImageGridDisplay.from_detector(detector, X, top=3, columns=2, ax=ax)
    assert [text.get_text() for text in display.captions_] == ["a → c"] * 3
    np.testing.assert_array_equal(pictures(display)[2].ravel(), X[2])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ImageGridDisplay.from_scores(SCORES, np.zeros((6, 5))), "give shape="),
        (lambda: ImageGridDisplay.from_scores(SCORES, IMAGES[:5]), "6 scores for 5 rows"),
        (lambda: ImageGridDisplay(np.zeros((2, 3))).plot(), "images have shape"),
        (
            lambda: ImageGridDisplay(IMAGES, ["a"]).plot(),
            r"captions has shape \(1,\); expected \(6,\)",
        ),
        (
            lambda: ImageGridDisplay(IMAGES, columns=0).plot(),
            "columns=0: expected an integer, 1 or more",
        ),
        (lambda: rows_table(SCORES, IMAGES[:5]), "6 scores for 5 rows"),
    ],
)
def test_bad_input_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_rows_table_keeps_index_and_columns():
    X = pd.DataFrame({"age": range(6), "job": list("uvwxyz")}, index=[f"id{i}" for i in range(6)])
    styled = rows_table(SCORES, X, list("abcdef"), n=2)
    want = [("harmful", "id3"), ("harmful", "id1"), ("helpful", "id5"), ("helpful", "id0")]
    assert list(styled.data.index) == want
    assert list(styled.data.columns) == ["score", "label", "age", "job"]
    assert list(styled.data["score"]) == [-4, -2, 9, 3]
    assert list(styled.data["label"]) == list("dbfa")
    html = styled.to_html()
    assert "id3" in html
    assert VERMILION in html


def test_rows_table_of_an_array_names_its_columns_and_shows_no_row_twice():
    styled = rows_table(SCORES, IMAGES.reshape(6, 4), n=5)
    assert list(styled.data.columns) == ["score", "x0", "x1", "x2", "x3"]
    assert len(styled.data) == 6
    assert styled.data.index.is_unique


@pytest.mark.parametrize(
    "display", [ScoreDistributionDisplay, SuspectRowsDisplay, SuspectShareDisplay]
)
def test_a_detector_must_be_fitted(display):
    with pytest.raises(NotFittedError):
        display.from_detector(NoisyLabelDetector())
    with pytest.raises(TypeError, match="expected a fitted NoisyLabelDetector, got GaussianNB"):
        display.from_detector(GaussianNB().fit([[0], [1]], [0, 1]))


@pytest.mark.parametrize("top", [0, -1, 2.5])
def test_top_must_be_a_positive_integer(top, detector):
    with pytest.raises(ValueError, match="expected an integer, 1 or more"):
        SuspectRowsDisplay.from_detector(detector, top=top)
