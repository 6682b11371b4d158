"""150 irises of three species, four measures in centimetres. Fisher: The use of multiple measurements, 1936."""

from lepton_ai.datasets.kinds import Parts, classes

LABELS = ("setosa", "versicolor", "virginica")
FEATURES = ("sepal length", "sepal width", "petal length", "petal width")


def load_data(*, test: float = 0.2, seed: int = 0) -> Parts:
    """`(x_train, y_train), (x_test, y_test)`: float32 (120, 4) with int64 (120,), and 30 to test. Extra `demo`.

    Raises: MissingExtraError; DataError if the file is damaged.
    """
    return classes("iris.csv", (150, 5), test=test, seed=seed)
