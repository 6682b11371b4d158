"""MNIST: 70,000 handwritten digits of 28 by 28 pixels, from a folder of yours. LeCun, Cortes, Burges, 1998."""

from pathlib import Path

from lepton_ai.datasets.idx import load_folder
from lepton_ai.datasets.kinds import Parts

LABELS = tuple("0123456789")


def load_data(path: str | Path) -> Parts:
    """`(x_train, y_train), (x_test, y_test)` from the four IDX files in the folder `path`, as they were published.

    Images are uint8 (60000, 28, 28), labels int64 (60000,); 10,000 to test.

    Raises: StorageError naming the files that are missing; DataError naming one that is damaged.
    """
    return load_folder(path)
