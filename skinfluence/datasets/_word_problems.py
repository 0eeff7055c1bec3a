"""Word problems of elementary arithmetic, made from templates, with or without the reasoning.

A template is a function of two names and of `number(low, high)`, which draws an integer between two
bounds, both included. It returns the question, the reasoning and the result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.utils import Bunch

from skinfluence._data.params import check_bool, read_random_state
from skinfluence.datasets._tasks import VOCABULARY, check_sizes, draw_distinct, split_tasks

_Problem = tuple[str, str, int]
_Number = Callable[[int, int], int]


def _pizza_slices_left(one: str, two: str, number: _Number) -> _Problem:
    a, b, left = number(2, 8), number(2, 8), number(1, 12)
    whole = a + b + left
    return (
        f"{one} ate {a} slices of a pizza and {two} ate {b}. The pizza had {whole} slices. "
        "How many slices are left?",
        f"They ate {a} + {b} = {a + b} slices, so {whole} - {a + b} = {left} are left.",
        left,
    )


def _chaperones_needed(one: str, two: str, number: _Number) -> _Problem:
    students, adults, groups = number(2, 10), number(2, 5), number(2, 15)
    coming = students * groups
    return (
        f"{one} plans a school trip. For every {students} students {adults} chaperones are needed. "
        f"{coming} students are coming. How many chaperones are needed?",
        f"There are {coming} / {students} = {groups} groups, so {groups} * {adults} = "
        f"{groups * adults} chaperones are needed.",
        groups * adults,
    )


def _total_after_purchase(one: str, two: str, number: _Number) -> _Problem:
    a, b, c = number(2, 60), number(2, 60), number(2, 40)
    return (
        f"{one} has {a} goldfish and {b} snails in a pond and buys {c} more goldfish. How many "
        f"goldfish does {one} have in total?",
        f"The snails do not count. There are {a} + {c} = {a + c} goldfish.",
        a + c,
    )


def _games_played(one: str, two: str, number: _Number) -> _Problem:
    games, weeks, more = number(2, 9), number(2, 20), number(2, 15)
    regular = games * weeks
    return (
        f"{one} and {two} play {games} games of chess a week for {weeks} weeks, and then {more} "
        "more in a tournament. How many games do they play in total?",
        f"They play {games} * {weeks} = {regular} games in these weeks, and {regular} + {more} = "
        f"{regular + more} in total.",
        regular + more,
    )


def _pages_left(one: str, two: str, number: _Number) -> _Problem:
    per_day, days, left = number(5, 40), number(2, 14), number(1, 150)
    read = per_day * days
    return (
        f"{one} reads {per_day} pages a day of a book with {read + left} pages. How many pages "
        f"are left after {days} days?",
        f"After {days} days {per_day} * {days} = {read} pages are read, so {read + left} - {read} "
        f"= {left} are left.",
        left,
    )


def _price_after_discount(one: str, two: str, number: _Number) -> _Problem:
    price, percent = 20 * number(1, 30), 5 * number(1, 18)
    off = price * percent // 100
    return (
        f"{one} buys a coat that costs {price} dollars at a discount of {percent} percent. How "
        f"many dollars does {one} pay?",
        f"The discount is {price} * {percent} / 100 = {off} dollars, so {one} pays {price} - {off} "
        f"= {price - off}.",
        price - off,
    )


def _fence_needed(one: str, two: str, number: _Number) -> _Problem:
    long, wide = number(10, 60), number(3, 40)
    half = long + wide
    return (
        f"{one} puts a fence around a garden that is {long} feet long and {wide} feet wide. How "
        "many feet of fence are needed?",
        f"Two sides are {long} + {wide} = {half} feet, so 2 * {half} = {2 * half} are needed.",
        2 * half,
    )


def _weeks_of_saving(one: str, two: str, number: _Number) -> _Problem:
    saved, per_week, weeks = number(5, 90), number(3, 30), number(2, 20)
    missing = per_week * weeks
    return (
        f"{one} has {saved} dollars and saves {per_week} dollars a week. A bicycle costs "
        f"{saved + missing} dollars. After how many weeks can {one} buy it?",
        f"{saved + missing} - {saved} = {missing} dollars are missing, which takes "
        f"{missing} / {per_week} = {weeks} weeks.",
        weeks,
    )


def _boxes_needed(one: str, two: str, number: _Number) -> _Problem:
    trays, per_box, boxes_per_tray = number(2, 12), number(2, 8), number(2, 6)
    per_tray = per_box * boxes_per_tray
    baked = trays * per_tray
    return (
        f"{one} bakes {trays} trays of {per_tray} cupcakes and packs {per_box} in each box. How "
        "many boxes are needed?",
        f"There are {trays} * {per_tray} = {baked} cupcakes, so {baked} / {per_box} = "
        f"{baked // per_box} boxes are needed.",
        baked // per_box,
    )


def _interest_earned(one: str, two: str, number: _Number) -> _Problem:
    deposit, percent, years = 100 * number(1, 50), number(2, 9), number(2, 10)
    per_year = deposit * percent // 100
    return (
        f"{one} has {deposit} dollars in a bank that pays {percent} percent of simple interest a "
        f"year. How many dollars of interest does {one} earn in {years} years?",
        f"A year earns {deposit} * {percent} / 100 = {per_year} dollars, so {years} years earn "
        f"{per_year} * {years} = {per_year * years}.",
        per_year * years,
    )


_TEMPLATES = (
    _pizza_slices_left, _chaperones_needed, _total_after_purchase, _games_played, _pages_left,
    _price_after_discount, _fence_needed, _weeks_of_saving, _boxes_needed, _interest_earned,
)  # fmt: skip

_DESCR = """Word problems

Ten kinds of problems of elementary arithmetic, with random names and numbers. The kinds are the
classes, {train} rows of each to train and {test} to test. No problem occurs twice.
"""


def make_word_problems(
    reasoning: bool = False,
    *,
    n_train_per_class: int = 90,
    n_test_per_class: int = 10,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make ten classes of word problems, one kind of arithmetic per class.

    These rows reproduce two task families of DataInf [1]_: one with the reasoning in the answer,
    one without it. The format follows the description there; the problems are our own.

    Parameters
    ----------
    reasoning : bool, default=False
        If True, the answer shows how the result is found and ends with a sentence such as ``The
        answer is 7.``. If False, the answer is the number alone.
    n_train_per_class, n_test_per_class : int, default=90, 10
        Number of rows of each class.
    random_state : int, RandomState instance or None, default=None
        Decides which names and numbers are drawn. They do not depend on `reasoning`.

    Returns
    -------
    tasks : Bunch
        - ``prompts``, ``answers``, ``classes`` and ``prompts_test``, ``answers_test``,
          ``classes_test``: as in :func:`make_sentence_transformations`. The classes are
          "pizza_slices_left", "chaperones_needed", "total_after_purchase", "games_played",
          "pages_left", "price_after_discount", "fence_needed", "weeks_of_saving", "boxes_needed"
          and "interest_earned".
        - ``DESCR``: str.

    Raises
    ------
    ValueError
        When a size is not a valid number of rows, or a class has too few distinct problems.

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
    sizes = check_sizes(n_train_per_class, n_test_per_class)
    check_bool("reasoning", reasoning)
    rng = read_random_state(random_state)

    def draw(template: Callable[[str, str, _Number], _Problem]) -> _Problem:
        one, two = rng.choice(VOCABULARY["name"], 2, replace=False)
        return template(one, two, lambda low, high: rng.randint(low, high + 1))

    rows = {
        template.__name__.strip("_"): [
            (question, f"{how} The answer is {result}." if reasoning else str(result))
            for question, how, result in draw_distinct(partial(draw, template), sum(sizes))
        ]
        for template in _TEMPLATES
    }
    return split_tasks(rows, sizes, _DESCR)
