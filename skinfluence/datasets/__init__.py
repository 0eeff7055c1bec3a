"""Datasets for testing influence methods: the wrong labels, groups or task classes are known.

- `flip_labels` and `corrupt_answers` put errors into labels and answers.
- `make_noisy_moons` makes two half moons with wrong labels.
- `load_adult`, `load_compas` and `load_german_credit` load tables with sensitive features.
- `load_tweets` loads tweets with the annotators' confidence in each label.
- `make_sentence_transformations`, `make_word_problems` and `make_reasoning_tasks` make tasks for
  language models.

Only numpy and scikit-learn are needed. The loaders of tables also need pandas.
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
