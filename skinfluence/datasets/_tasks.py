"""Tasks for language models in classes that a test can tell apart."""

import itertools
import re
from numbers import Integral

import numpy as np
from sklearn.utils import Bunch, check_random_state

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
