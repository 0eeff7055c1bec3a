"""Word problems with their reasoning, made from templates."""

import functools

from sklearn.utils import check_random_state

from skinfluence.datasets._tasks import _VOCABULARY, _different, _sizes, _split


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
