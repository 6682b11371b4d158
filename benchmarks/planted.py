"""Errors planted in real data, and how many of them the checks find.

Each case takes real data from a package, plants a known number of errors at places drawn by a fixed seed, examines it,
and compares what a check marked with what was planted. Whatever else a check marks counts against its precision, also
where the real data has a fault of its own.
"""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn import datasets

from lepton_ai.cleaning import Examination, examine
from lepton_ai.datasets import load_dataset

Array = npt.NDArray[Any]


class Score(NamedTuple):
    """What was planted, what was marked, and how many of each are the other's."""

    planted: int
    marked: int
    hits: int

    @property
    def precision(self) -> float:
        return self.hits / self.marked if self.marked else float(self.planted == 0)

    @property
    def recall(self) -> float:
        return self.hits / self.planted if self.planted else 1.0


class Case(NamedTuple):
    """A check, the data, what is planted in it, and the least precision and recall that the tests accept."""

    check: str
    data: str
    what: str
    run: Callable[[], Score]
    precision: float
    recall: float


def score(planted: Iterable[Any], marked: Iterable[Any]) -> Score:
    """The score of marks against what was planted."""
    wanted, got = set(planted), set(marked)
    return Score(len(wanted), len(got), len(wanted & got))


def table(name: str) -> tuple[dict[str, Array], Array]:
    """The features by name and the target of one of scikit-learn's data sets."""
    data = getattr(datasets, f"load_{name}")()
    return {str(key): data.data[:, index].copy() for index, key in enumerate(data.feature_names)}, data.target.copy()


def rows_of(found: Examination, check: str) -> set[int]:
    """The rows that a check marked; of groups of copies, those that cleaning would remove."""
    return {row for finding in found.of(check) for row in finding.action_rows or finding.rows}


def cells_of(found: Examination, check: str) -> set[tuple[str, int]]:
    """The cells that a check marked."""
    return {(name, row) for finding in found.of(check) for name in finding.columns for row in finding.rows}


def columns_of(found: Examination, check: str) -> set[str]:
    """The columns that a check marked."""
    return {name for finding in found.of(check) for name in finding.columns}


def _cells(x: dict[str, Array], number: int, seed: int) -> list[tuple[str, int]]:
    rng = np.random.default_rng(seed)
    names, rows = list(x), len(next(iter(x.values())))
    picked = rng.choice(len(names) * rows, number, replace=False)
    return [(names[place % len(names)], int(place // len(names))) for place in picked]


def _grown(x: dict[str, Array], rows: Array) -> dict[str, Array]:
    return {name: np.concatenate([values, values[rows]]) for name, values in x.items()}


# -- tables ------------------------------------------------------------------------------------------------------


def gaps(name: str) -> Score:
    x, _ = table(name)
    planted = _cells(x, 60, 1)
    for column, row in planted:
        x[column][row] = np.nan
    return score(planted, cells_of(examine(x, checks=["missing_values"]), "missing_values"))


def codes(name: str, code: float) -> Score:
    x, _ = table(name)
    rng, planted = np.random.default_rng(2), []
    for column in list(x)[::3]:
        for row in rng.choice(len(x[column]), 4, replace=False).tolist():
            x[column][row] = code
            planted.append((column, row))
    return score(planted, cells_of(examine(x, checks=["sentinel_codes"]), "sentinel_codes"))


def words(name: str) -> Score:
    x, _ = table(name)
    texts = {column: values.astype(str).astype(object) for column, values in x.items()}
    planted = _cells(x, 40, 3)
    for place, (column, row) in enumerate(planted):
        texts[column][row] = ("?", "unknown", "n.a.", "-")[place % 4]
    return score(planted, cells_of(examine(texts, checks=["sentinel_codes"]), "sentinel_codes"))


def dressed(name: str) -> Score:
    x, _ = table(name)
    texts = {column: values.astype(str).astype(object) for column, values in x.items()}
    planted = _cells(x, 40, 4)
    for place, (column, row) in enumerate(planted):
        value = texts[column][row]
        texts[column][row] = (f"{value} mm", f"${value}", value.replace(".", ","), f"approx {value}")[place % 4]
    planted = [(column, row) for column, row in planted if not texts[column][row].replace(".", "").isdigit()]
    return score(planted, cells_of(examine(texts, checks=["wrong_types"]), "wrong_types"))


def slips(name: str, factor: float) -> Score:
    """Decimal points that slipped: values times 10 or 100."""
    x, _ = table(name)
    planted = [(column, row) for column, row in _cells(x, 40, 5) if x[column][row] > np.median(x[column])]
    for column, row in planted:
        x[column][row] *= factor
    return score(planted, cells_of(examine(x, checks=["outliers"]), "outliers"))


def signs(name: str) -> Score:
    x, _ = table(name)
    rng, planted = np.random.default_rng(6), []
    for column in [column for column, values in x.items() if values.min() > 0][::3]:
        row = int(rng.integers(len(x[column])))
        x[column][row] *= -1
        planted.append((column, row))
    return score(planted, cells_of(examine(x, checks=["impossible_values"]), "impossible_values"))


def swaps() -> Score:
    """Values of a column that belong to another row: each usual alone, but not beside its neighbours."""
    x, _ = table("breast_cancer")
    order = np.argsort(x["mean radius"])
    rng = np.random.default_rng(7)
    low, high = rng.choice(order[:100], 5, replace=False), rng.choice(order[-100:], 5, replace=False)
    for column in ("mean radius", "worst area"):
        x[column][low], x[column][high] = x[column][high].copy(), x[column][low].copy()
    return score([*low.tolist(), *high.tolist()], rows_of(examine(x, checks=["unusual_rows"]), "unusual_rows"))


def copies(name: str) -> Score:
    x, y = table(name)
    rows = np.random.default_rng(8).choice(len(y), 20, replace=False)
    x, y = _grown(x, rows), np.concatenate([y, y[rows]])
    found = examine({**x, "target": y}, "target", checks=["duplicate_rows"])
    return score(range(len(y) - 20, len(y)), rows_of(found, "duplicate_rows"))


def near_copies(name: str, *, one_column: bool) -> Score:
    x, y = table(name)
    rng = np.random.default_rng(9)
    rows = rng.choice(len(y), 20, replace=False)
    x, size = _grown(x, rows), len(y)
    names = list(x)
    for values in x.values():
        if not one_column:
            values[size:] += rng.normal(0, 0.002 * values[:size].std(), 20)
    for place in range(20 if one_column else 0):
        column = names[int(rng.integers(len(names)))]
        x[column][size + place] = x[column][int(rng.integers(size))] * 1.01
    return score(range(size, size + 20), rows_of(examine(x, checks=["near_duplicate_rows"]), "near_duplicate_rows"))


def conflicts(name: str) -> Score:
    x, y = table(name)
    rows = np.random.default_rng(10).choice(len(y), 10, replace=False)
    x, size = _grown(x, rows), len(y)
    y = np.concatenate([y, (y[rows] + 1) % (y.max() + 1)])
    found = examine({**x, "target": y}, "target", checks=["conflicting_labels"])
    return score([*rows.tolist(), *range(size, size + 10)], rows_of(found, "conflicting_labels"))


def leaks(name: str) -> Score:
    x, y = table(name)
    rng = np.random.default_rng(11)
    planted: dict[str, Array] = {
        "refund": np.where(rng.random(len(y)) < 0.995, y, y[::-1]) * 100.0,
        "outcome": np.array(["a", "b", "c"], object)[y],
        "level": y + rng.normal(0, 0.1, len(y)),
    }
    found = examine({**x, **planted, "target": y}, "target", checks=["leaking_columns"])
    return score(planted, columns_of(found, "leaking_columns"))


def useless(check: str) -> Score:
    """Constant, copied and naming columns."""
    x, y = table("breast_cancer")
    planted: dict[str, dict[str, Array]] = {
        "constant": {"version": np.full(len(y), 3.0), "country": np.full(len(y), "AT", object)},
        "duplicate_columns": {"radius again": x["mean radius"].copy(), "in metres": x["worst area"] / 1000},
        "identifiers": {
            "row": np.arange(len(y)) + 1000,
            "key": np.array([f"k{7 * i:05}" for i in range(len(y))], object),
        },
    }
    extra = {name: values for columns in planted.values() for name, values in columns.items()}
    return score(planted[check], columns_of(examine({**x, **extra}, checks=[check]), check))


def overlap(name: str, *, noise: float) -> Score:
    x, y = table(name)
    rng = np.random.default_rng(12)
    order = rng.permutation(len(y))
    train, test = order[len(y) // 4 :], order[: len(y) // 4]
    rows = rng.choice(len(train), 15, replace=False)
    own = {column: values[train] for column, values in x.items()}
    theirs = {column: np.concatenate([values[test], values[train][rows]]) for column, values in x.items()}
    for column, values in theirs.items():
        values[-15:] += rng.normal(0, noise * x[column].std(), 15)
    check = "nearly_shared_rows" if noise else "shared_rows"
    return score(rows.tolist(), rows_of(examine(own, against=theirs, checks=[check]), check))


def flipped(name: str) -> Score:
    x, y = table(name)
    rng = np.random.default_rng(13)
    rows = rng.choice(len(y), len(y) // 20, replace=False)
    classes = int(y.max()) + 1
    y[rows] = (y[rows] + rng.integers(1, classes, len(rows))) % classes
    found = examine({**x, "target": y}, "target", checks=["suspicious_labels"])
    return score(rows.tolist(), rows_of(found, "suspicious_labels"))


def amounts() -> Score:
    """Wrong targets of a regression: the price of another house, as it were."""
    x, _ = table("breast_cancer")
    y = x.pop("mean area")
    rng = np.random.default_rng(14)
    rows = rng.choice(len(y), 20, replace=False)
    y[rows] = y[rows] * rng.choice([0.25, 4.0], 20)
    found = examine({**x, "target": y}, "target", checks=["suspicious_labels"])
    return score(rows.tolist(), rows_of(found, "suspicious_labels"))


def texts() -> Score:
    """Lines of scikit-learn's own descriptions of data, some of them again with a word or their case changed."""
    names = ("breast_cancer", "diabetes", "digits", "iris", "wine", "linnerud")
    lines = "\n".join(getattr(datasets, f"load_{name}")().DESCR for name in names).splitlines()
    prose = (line.strip() for line in lines if len(line.strip()) >= 50 and line.strip()[0] not in ":=-")
    unique = list(dict.fromkeys(prose))
    rng = np.random.default_rng(15)
    changed = []
    for place, row in enumerate(rng.choice(len(unique), 15, replace=False).tolist()):
        parts = unique[row].split()
        changed.append(" ".join(parts[:-1]) if place % 2 and len(parts[-1]) < 8 else unique[row].upper() + "!")
    found = examine({"text": np.array(unique + changed, object)}, checks=["near_duplicate_texts"])
    return score(range(len(unique), len(unique) + 15), rows_of(found, "near_duplicate_texts"))


# -- images ------------------------------------------------------------------------------------------------------


def digits(rows: int) -> tuple[Array, Array]:
    """MNIST's digits, uint8 (rows, 28, 28), and their classes."""
    (x, y), _ = load_dataset("mnist_5k")
    return x[:rows].copy(), y[:rows].copy()


def spoiled(check: str, rows: int = 1000) -> Score:
    x, y = digits(rows)
    rng = np.random.default_rng(16)
    picked = np.sort(rng.choice(rows, 20, replace=False))
    planted: Iterable[int] = picked.tolist()
    if check == "blank_images":
        x[picked] = rng.integers(0, 255, (20, 1, 1)).astype(np.uint8)
    elif check == "noisy_images":
        x[picked] = (x[picked] + rng.normal(0, 60, x[picked].shape)).clip(0, 255).astype(np.uint8)
    elif check == "blurred_images":
        for row in picked:
            small = Image.fromarray(x[row]).resize((7, 7), Image.Resampling.BOX)
            x[row] = np.asarray(small.resize((28, 28), Image.Resampling.BICUBIC))
    else:
        again = x[picked].astype(np.float64)
        if check == "near_duplicate_images":
            again = again * 0.8 + rng.normal(0, 4, again.shape) + 10
        x, y = np.concatenate([x, again.clip(0, 255).astype(np.uint8)]), np.concatenate([y, y[picked]])
        planted = range(rows, rows + 20)
    return score(planted, rows_of(examine(x, y, checks=[check]), check))


def mislabelled(rows: int = 4000) -> Score:
    x, y = digits(rows)
    rng = np.random.default_rng(17)
    picked = rng.choice(rows, rows // 20, replace=False)
    y[picked] = (y[picked] + rng.integers(1, 10, len(picked))) % 10
    return score(picked.tolist(), rows_of(examine(x, y, checks=["suspicious_labels"]), "suspicious_labels"))


def damaged() -> Score:
    x, y = digits(200)
    with tempfile.TemporaryDirectory() as folder:
        for row in range(200):
            place = Path(folder) / str(y[row])
            place.mkdir(exist_ok=True)
            Image.fromarray(x[row]).save(place / f"{row}.png")
        wrong = np.random.default_rng(18).choice(200, 12, replace=False).tolist()
        for number, row in enumerate(wrong):
            file = Path(folder) / str(y[row]) / f"{row}.png"
            content = file.read_bytes()
            file.write_bytes((content[: len(content) // 2], b"", b"<html>not found</html>")[number % 3])
        found = examine(folder, checks=["undecodable_images"])
        marked = [found.files[row] for row in rows_of(found, "undecodable_images")]
        return score([f"{y[row]}/{row}.png" for row in wrong], marked)


CANCER, WINE, DIGITS, MNIST = "breast cancer", "wine", "digits", "MNIST (5k)"
CASES = (
    Case("missing_values", CANCER, "60 empty cells", lambda: gaps("breast_cancer"), 1.0, 1.0),
    Case("sentinel_codes", CANCER, "-999 in 40 cells", lambda: codes("breast_cancer", -999), 1.0, 0.9),
    Case("sentinel_codes", WINE, "9999 in 20 cells", lambda: codes("wine", 9999), 1.0, 0.9),
    Case("sentinel_codes", CANCER, "?, unknown, n.a., - in 40 cells", lambda: words("breast_cancer"), 1.0, 1.0),
    Case("wrong_types", CANCER, "units, currencies, commas in 40 cells", lambda: dressed("breast_cancer"), 1.0, 1.0),
    Case("outliers", CANCER, "values times 100", lambda: slips("breast_cancer", 100), 0.5, 0.9),
    Case("outliers", WINE, "values times 10", lambda: slips("wine", 10), 0.9, 0.8),
    Case(
        "impossible_values", CANCER, "signs lost, one in every third column", lambda: signs("breast_cancer"), 0.9, 0.9
    ),
    Case("unusual_rows", CANCER, "values swapped between 10 rows", swaps, 0.5, 0.9),
    Case("duplicate_rows", CANCER, "20 copies", lambda: copies("breast_cancer"), 1.0, 1.0),
    Case("duplicate_rows", DIGITS, "20 copies", lambda: copies("digits"), 1.0, 1.0),
    Case(
        "near_duplicate_rows",
        CANCER,
        "20 copies with 0.2 % noise",
        lambda: near_copies("breast_cancer", one_column=False),
        0.9,
        0.9,
    ),
    Case(
        "near_duplicate_rows",
        WINE,
        "20 copies with 0.2 % noise",
        lambda: near_copies("wine", one_column=False),
        0.9,
        0.9,
    ),
    Case(
        "near_duplicate_rows",
        CANCER,
        "20 copies, one column changed",
        lambda: near_copies("breast_cancer", one_column=True),
        0.9,
        0.9,
    ),
    Case("conflicting_labels", CANCER, "10 copies with another label", lambda: conflicts("breast_cancer"), 1.0, 1.0),
    Case("leaking_columns", CANCER, "3 columns made of the target", lambda: leaks("breast_cancer"), 0.7, 1.0),
    Case("leaking_columns", WINE, "3 columns made of the target", lambda: leaks("wine"), 0.7, 1.0),
    Case("constant", CANCER, "2 columns", lambda: useless("constant"), 1.0, 1.0),
    Case("duplicate_columns", CANCER, "2 columns", lambda: useless("duplicate_columns"), 1.0, 1.0),
    Case("identifiers", CANCER, "2 columns", lambda: useless("identifiers"), 1.0, 1.0),
    Case("shared_rows", CANCER, "15 rows copied into the test", lambda: overlap("breast_cancer", noise=0.0), 1.0, 1.0),
    Case("nearly_shared_rows", CANCER, "15 with 0.2 % noise", lambda: overlap("breast_cancer", noise=0.002), 0.9, 0.9),
    Case("suspicious_labels", CANCER, "5 % flipped", lambda: flipped("breast_cancer"), 0.6, 0.8),
    Case("suspicious_labels", WINE, "5 % flipped", lambda: flipped("wine"), 0.7, 0.8),
    Case("suspicious_labels", DIGITS, "5 % changed", lambda: flipped("digits"), 0.6, 0.85),
    Case("suspicious_labels", CANCER, "20 amounts times 4 or 1/4", amounts, 0.5, 0.9),
    Case("near_duplicate_texts", "scikit-learn's texts", "15 edited copies", texts, 0.9, 0.9),
    Case("blank_images", MNIST, "20 of one grey", lambda: spoiled("blank_images"), 1.0, 1.0),
    Case("noisy_images", MNIST, "20 with noise", lambda: spoiled("noisy_images"), 0.9, 0.9),
    Case("blurred_images", MNIST, "20 blurred", lambda: spoiled("blurred_images"), 0.8, 0.8),
    Case("duplicate_images", MNIST, "20 copies", lambda: spoiled("duplicate_images"), 1.0, 1.0),
    Case(
        "near_duplicate_images", MNIST, "20 darker, noisier copies", lambda: spoiled("near_duplicate_images"), 0.8, 0.9
    ),
    Case("undecodable_images", MNIST, "12 cut short, empty or not images", damaged, 1.0, 1.0),
    Case("suspicious_labels", MNIST, "5 % of 4,000 changed", mislabelled, 0.75, 0.75),
)
