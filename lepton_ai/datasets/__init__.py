"""Data sets that installed packages hold, and the folders of well-known ones: `<name>.load_data()`."""

from lepton_ai.datasets import (
    breast_cancer,
    chinese_reviews,
    diabetes,
    digits,
    fashion_mnist,
    iris,
    mnist,
    mnist_5k,
    wine,
)
from lepton_ai.datasets.named import dataset_names, load_dataset

__all__ = [
    "breast_cancer",
    "chinese_reviews",
    "dataset_names",
    "diabetes",
    "digits",
    "fashion_mnist",
    "iris",
    "load_dataset",
    "mnist",
    "mnist_5k",
    "wine",
]
