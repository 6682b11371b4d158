"""1,797 handwritten digits of 8 by 8 pixels, 17 levels of grey. Alpaydin, Kaynak, 1998 (UCI)."""

import numpy as np

from lepton_ai.datasets.kinds import Parts, classes

LABELS = tuple("0123456789")


def load_data(*, test: float = 0.2, seed: int = 0) -> Parts:
    """`(x_train, y_train), (x_test, y_test)`: uint8 (1438, 8, 8), 0 to 16, with int64 (1438,), and 359 to test.

    Needs the extra `demo`.

    Raises: MissingExtraError; DataError if the file is damaged.
    """
    (x_train, y_train), (x_test, y_test) = classes("digits.csv.gz", (1797, 65), test=test, seed=seed, header=False)
    train, held_out = (x.astype(np.uint8).reshape(-1, 8, 8) for x in (x_train, x_test))
    return (train, y_train), (held_out, y_test)
