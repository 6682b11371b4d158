"""569 tumours, 30 measures of their cells, malignant or benign. Wolberg, Street, Mangasarian, 1995 (UCI)."""

from lepton_ai.datasets.kinds import Parts, classes

LABELS = ("malignant", "benign")
_MEASURES = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
FEATURES = tuple(f"{kind} {measure}" for kind in ("mean", "error of", "worst") for measure in _MEASURES)


def load_data(*, test: float = 0.2, seed: int = 0) -> Parts:
    """`(x_train, y_train), (x_test, y_test)`: float32 (455, 30) with int64 (455,), and 114 to test. Extra `demo`.

    Raises: MissingExtraError; DataError if the file is damaged.
    """
    return classes("breast_cancer.csv", (569, 31), test=test, seed=seed)
