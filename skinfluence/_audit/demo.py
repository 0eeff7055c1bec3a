"""The table of the example: real measurements, some of them with planted wrong labels."""

import numpy as np
from sklearn.datasets import load_breast_cancer

from skinfluence._audit.formats.delimited import table_from_columns
from skinfluence._audit.table import Table
from skinfluence.datasets import flip_labels

NAME = "breast cancer (scikit-learn's data, 10% wrong labels planted)"

LABEL = "diagnosis"

PLANTED_SHARE = 0.1


def planted_table(seed: int) -> tuple[Table, np.ndarray]:
    """Breast cancer data in which a tenth of the diagnoses are changed.

    Returns
    -------
    table : Table
        569 rows, 30 measurements of a cell sample and the diagnosis.
    is_planted : ndarray of bool of shape (569,)
        True where the diagnosis was changed.
    """
    data = load_breast_cancer()
    diagnoses = data.target_names[data.target]
    labels, is_planted = flip_labels(diagnoses, PLANTED_SHARE, random_state=seed)
    columns = [[repr(float(value)) for value in column] for column in data.data.T]
    names = [*data.feature_names, LABEL]
    return table_from_columns(names, [*columns, labels]), is_planted
