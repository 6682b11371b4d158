"""442 patients, ten measures, and how far diabetes went in a year. Efron et al.: Least angle regression, 2004."""

import numpy as np

from lepton_ai.core import DataError
from lepton_ai.data import split
from lepton_ai.datasets.kinds import Parts, sklearn_file
from lepton_ai.datasets.packaged import read_numbers

FEATURES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def load_data(*, test: float = 0.2, seed: int = 0) -> Parts:
    """`(x_train, y_train), (x_test, y_test)`: float32 (354, 10) with float32 (354,), and 88 to test. Extra `demo`.

    Measures are as they were taken, not scaled.

    Raises: MissingExtraError; DataError if a file is damaged.
    """
    path = sklearn_file("diabetes_data_raw.csv.gz")
    x = read_numbers(path, separator=None)
    y = read_numbers(sklearn_file("diabetes_target.csv.gz"))
    if x.shape != (442, 10) or y.shape != (442, 1):
        raise DataError(at=str(path), got=(x.shape, y.shape), expected="442 rows of 10 measures, and 442 targets")
    train, held_out = split(x.astype(np.float32), y[:, 0].astype(np.float32), test=test, seed=seed)
    return train, held_out
