"""Tasks for language models; test rows should be influenced most by training rows of their class.

`_word_problems` uses the helpers at the end of this module.
"""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np
from sklearn.utils import Bunch

from skinfluence._data.params import check_int, read_random_state

_TRIES = 100  # draws per row, at most, to find enough distinct rows

_Drawn = TypeVar("_Drawn", bound=Hashable)

VOCABULARY = {
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


def _draw_sentence(rng: np.random.RandomState) -> str:
    """Draw four to six words. Each has a vowel and a consonant (y is a consonant)."""
    with_character, with_look = rng.randint(2, size=2)
    parts = ["character"] * with_character + ["who", "does"]
    parts += ["look"] * with_look + ["what", "how"]
    return " ".join(rng.choice(VOCABULARY[part]) for part in parts)


def _capitalize_every_other_letter(sentence: str) -> str:
    count = itertools.count()
    return "".join(c.upper() if c.isalpha() and next(count) % 2 == 0 else c for c in sentence)


_VOWEL, _CONSONANT = re.compile("[aeiou]"), re.compile("[b-df-hj-np-tv-z]")

_TRANSFORMATIONS: dict[str, tuple[str, Callable[[str], str]]] = {
    "reverse_words": ("Reverse the order of the words", lambda s: " ".join(s.split()[::-1])),
    "capitalize_every_other_letter": (
        "Capitalize every other letter",
        _capitalize_every_other_letter,
    ),
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

Each prompt is an instruction and a short sentence from a small grammar; the answer is the sentence
after the instruction is followed. The ten instructions are the classes, with
{train} rows of each to train and {test} to test. No sentence occurs twice.
"""


def make_sentence_transformations(
    *,
    n_train_per_class: int = 90,
    n_test_per_class: int = 10,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make ten classes of sentences to transform, one instruction per class.

    These rows reproduce one of the task families of DataInf [1]_, from its description there. If a
    language model is trained on these rows, it learns to answer a test row from training rows of
    the same class. A good influence method should find these training rows; see
    :func:`skinfluence.pairwise.influence_matrix`.

    Parameters
    ----------
    n_train_per_class, n_test_per_class : int, default=90, 10
        Number of rows of each class.
    random_state : int, RandomState instance or None, default=None
        Decides which sentences are drawn.

    Returns
    -------
    tasks : Bunch
        All arrays are ndarrays of str with dtype object.

        - ``prompts``: an instruction and a sentence.
        - ``answers``: the transformed sentence.
        - ``classes``: the name of the class. Classes come one after the other: "reverse_words",
          "capitalize_every_other_letter" (the first, the third, ..., not counting blanks),
          "insert_ones", "replace_vowels" (by ``*``), "double_consonants", "capitalize_words",
          "remove_vowels", "add_ly", "remove_consonants", "repeat_words". The letter y is a
          consonant.
        - ``prompts_test``, ``answers_test``, ``classes_test``: the same for the test rows, which
          share no sentence with the training rows.
        - ``DESCR``: str.

    Raises
    ------
    ValueError
        When a size is not a valid number of rows.

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
    sizes = check_sizes(n_train_per_class, n_test_per_class)
    rng = read_random_state(random_state)
    # Drawn for all classes together, so that two classes never share a sentence.
    n_sentences = sum(sizes) * len(_TRANSFORMATIONS)
    sentences = iter(draw_distinct(lambda: _draw_sentence(rng), n_sentences))
    rows = {
        name: [(f"{instruction}: {s}", change(s)) for s in itertools.islice(sentences, sum(sizes))]
        for name, (instruction, change) in _TRANSFORMATIONS.items()
    }
    return split_tasks(rows, sizes, _TRANSFORMATIONS_DESCR)


def make_reasoning_tasks(
    families: str | Sequence[str],
    n_per_family: int = 100,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Make questions with one right answer each, from task families of the package reasoning-gym.

    Parameters
    ----------
    families : str or sequence of str
        Names of datasets of reasoning-gym [1]_, such as "word_sequence_reversal", "spell_backward",
        "letter_counting", "sentence_reordering", "chain_sum" or "gsm_symbolic".
    n_per_family : int, default=100
        Number of rows of each family. No prompt occurs twice.
    random_state : int, RandomState instance or None, default=None
        Decides which tasks are drawn.

    Returns
    -------
    tasks : Bunch
        - ``prompts``, ``answers``, ``classes``: ndarrays of str with dtype object. The class of a
          row is its family.
        - ``DESCR``: str.

    Raises
    ------
    ImportError
        When reasoning-gym is missing.
    ValueError
        When `families` is empty or names a family twice, or a family is unknown or has too few
        distinct tasks.

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
        raise ValueError(
            f"families={families!r} must name at least one family, and no family twice."
        )
    size, _ = check_sizes(n_per_family, 0, "n_per_family")
    try:
        reasoning_gym = importlib.import_module("reasoning_gym")
    except ImportError as error:
        raise ImportError(
            f"make_reasoning_tasks needs reasoning-gym ({error}): pip install reasoning-gym"
        ) from error
    rng = read_random_state(random_state)
    rows = {}
    for family in families:
        seed = int(rng.randint(2**31 - 1))
        try:
            tasks = reasoning_gym.create_dataset(family, size=_TRIES * size, seed=seed)
        except ValueError as error:
            raise ValueError(
                f"families names {family!r}, which reasoning-gym does not know ({error}); see "
                "reasoning_gym.factory.DATASETS for the names it knows."
            ) from error
        rows[family] = _first_distinct(tasks, size, family)
    description = "Tasks of reasoning-gym, {train} of each family.\n"
    columns = split_tasks(rows, (size, 0), description)
    return Bunch(**{key: columns[key] for key in ("prompts", "answers", "classes", "DESCR")})


def _first_distinct(tasks: Any, n: int, family: str) -> list[tuple[str, str]]:
    """Return the first n questions that differ, with their answers."""
    answers: dict[str, str] = {}
    for task in tasks:
        answers.setdefault(task["question"], str(task["answer"]))
        if len(answers) == n:
            return list(answers.items())
    raise _too_few(len(answers), n, f"tasks of {family!r}")


def draw_distinct(draw: Callable[[], _Drawn], n: int) -> list[_Drawn]:
    """Call `draw` until it has returned n distinct results, and return these."""
    found: dict[_Drawn, None] = {}  # a set that keeps the order
    for _ in range(_TRIES * n):
        found[draw()] = None
        if len(found) == n:
            return list(found)
    raise _too_few(len(found), n, "rows")


def _too_few(found: int, n: int, what: str) -> ValueError:
    return ValueError(
        f"{n} distinct {what} were requested, but only {found} were found; ask for fewer."
    )


def check_sizes(n_train: int, n_test: int, name: str = "n_train_per_class") -> tuple[int, int]:
    """Raise unless both are integers, at least 1 for training and at least 0 for testing."""
    return check_int(name, n_train, 1), check_int("n_test_per_class", n_test, 0)


def split_tasks(
    rows: dict[str, list[tuple[str, str]]], sizes: tuple[int, int], description: str
) -> Bunch:
    """Turn the prompts and answers of each class into columns, split into train and test.

    The first rows of each class are for training, the remaining rows for testing.
    """
    n_train, n_test = sizes
    tasks = Bunch(DESCR=description.format(train=n_train, test=n_test))
    for suffix, part in (("", slice(n_train)), ("_test", slice(n_train, None))):
        found = [(*row, name) for name, of_class in rows.items() for row in of_class[part]]
        columns = np.array(found, dtype=object).reshape(-1, 3).T
        for name, column in zip(("prompts", "answers", "classes"), columns, strict=True):
            tasks[name + suffix] = column
    return tasks
