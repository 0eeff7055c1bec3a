"""Data whose culprits, sensitive groups or families are known, so that a method can be marked.

numpy and scikit-learn only; pandas is imported by the loaders of tables, which need it.
"""

from skinfluence.datasets._adult import load_adult
from skinfluence.datasets._compas import load_compas
from skinfluence.datasets._german_credit import load_german_credit
from skinfluence.datasets._moons import make_noisy_moons
from skinfluence.datasets._noise import corrupt_answers, flip_labels
from skinfluence.datasets._tasks import make_reasoning_tasks, make_sentence_transformations
from skinfluence.datasets._tweets import load_tweets
from skinfluence.datasets._word_problems import make_word_problems

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
