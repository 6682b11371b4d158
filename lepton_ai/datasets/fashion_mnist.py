"""Fashion-MNIST: 70,000 pictures of clothes, 28 by 28 pixels, from a folder of yours. Xiao, Rasul, Vollgraf, 2017."""

from pathlib import Path

from lepton_ai.datasets.idx import load_folder
from lepton_ai.datasets.kinds import Parts

LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load_data(path: str | Path) -> Parts:
    """`(x_train, y_train), (x_test, y_test)` from the four IDX files in the folder `path`, as they were published.

    Images are uint8 (60000, 28, 28), labels int64 (60000,); 10,000 to test.

    Raises: StorageError naming the files that are missing; DataError naming one that is damaged.
    """
    return load_folder(path)
