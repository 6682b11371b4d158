"""178 wines from three cultivars, 13 chemical measures. Forina et al.: PARVUS, 1991 (UCI)."""

from lepton_ai.datasets.kinds import Parts, classes

LABELS = ("class_0", "class_1", "class_2")
FEATURES = (
    "alcohol",
    "malic acid",
    "ash",
    "alcalinity of ash",
    "magnesium",
    "total phenols",
    "flavanoids",
    "nonflavanoid phenols",
    "proanthocyanins",
    "color intensity",
    "hue",
    "od280/od315 of diluted wines",
    "proline",
)


def load_data(*, test: float = 0.2, seed: int = 0) -> Parts:
    """`(x_train, y_train), (x_test, y_test)`: float32 (142, 13) with int64 (142,), and 36 to test. Extra `demo`.

    Raises: MissingExtraError; DataError if the file is damaged.
    """
    return classes("wine_data.csv", (178, 14), test=test, seed=seed)
