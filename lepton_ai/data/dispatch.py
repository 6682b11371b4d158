"""From whatever `fit` was given to a source."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lepton_ai.core import DataError, UsageError
from lepton_ai.data.arrays import Arrays
from lepton_ai.data.foreign import Batches, TorchDataset
from lepton_ai.data.frame import is_frame
from lepton_ai.data.source import Indexed
from lepton_ai.data.table import Table

_PATH = (
    "Read it first: lepton_ai.data.read_csv(path) for a table, lepton_ai.data.ImageFolder(path) for images, "
    "numpy.load(path) for arrays."
)


def as_source(x: Any, y: Any = None, sample_weight: Any = None, *, texts: bool = False) -> Indexed | Batches:
    """The source for `x`: arrays, tensors, lists, data frames, tuples, lists or dictionaries of them; torch datasets
    and loaders; iterables and functions that yield batches; a source as it is.

    A list of arrays is several inputs. A list of one is that one. `texts` says whether inputs may be texts.

    Raises: UsageError if `y` or weights are given beside data that brings its own; DataError, ShapeError for
    data that does not fit (see `Arrays`).

    Example:
        >>> len(as_source([[1.0, 2.0], [3.0, 4.0]], [0, 1]))
        2
    """
    own = _brings_own(x)
    if own is not None:
        if y is not None or sample_weight is not None:
            given = "y" if y is not None else "sample_weight"
            raise UsageError(f"{given} beside a {type(x).__name__}", at="fit", fix=f"Its batches must hold {given}.")
        return own
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    if isinstance(x, Table):
        if y is None and x.target is not None:
            y, labels = x.target_values(), x.labels
        x, names = x.features(), x.feature_names()
    elif is_frame(x) and x.ndim == 2:
        names = tuple(map(str, x.columns))
    if x is None:
        raise DataError("no data: x is None", at="x", fix="Give arrays, a data frame, a dataset or a loader.")
    if isinstance(x, str | bytes | Path):
        raise DataError(f"a path, {str(x)!r}, where data belongs", at="x", fix=_PATH)
    several, targets = _several(x), _several(y)
    _check_not_rows("x", several, x, targets)
    _check_not_rows("y", targets, y, several)
    source = Arrays(several, targets, sample_weight, texts=texts)
    source.labels, source.names = labels, names
    return source


def _brings_own(x: Any) -> Indexed | Batches | None:
    """The source, where `x` holds targets and weights itself."""
    if isinstance(x, Indexed | Batches):
        return x
    if isinstance(x, TensorDataset):
        tensors = x.tensors
        if 1 <= len(tensors) <= 3:
            return Arrays(*tensors)
    if isinstance(x, IterableDataset | DataLoader | Iterator) or _yields(x):
        return Batches(x)
    return TorchDataset(x) if isinstance(x, Dataset) else None


def _yields(x: Any) -> bool:
    """Whether `x` is a function, or an iterable of no known length and no array: something that yields batches."""
    if isinstance(x, str | bytes | Mapping | Table | set | frozenset) or hasattr(x, "__array__") or is_frame(x):
        return False
    return callable(x) or (hasattr(x, "__iter__") and not hasattr(x, "__len__") and not hasattr(x, "toarray"))


def _several(tree: Any) -> Any:
    """Lists or tuples of arrays as a tuple; one alone as itself; anything else as it is."""
    if isinstance(tree, list | tuple) and tree and all(_is_array(item) for item in tree):
        return tree[0] if len(tree) == 1 else tuple(tree)
    if isinstance(tree, tuple):
        return list(tree)
    return tree


def _is_array(item: Any) -> bool:
    return isinstance(item, Mapping) or is_frame(item) or len(getattr(item, "shape", ())) > 0


def _check_not_rows(at: str, several: Any, given: Any, other: Any) -> None:
    """A list of one array per row, the newcomer's images, is told from several inputs by its length."""
    if not isinstance(several, tuple) or isinstance(given, tuple) or isinstance(other, Mapping | tuple):
        return
    rows = len(other) if hasattr(other, "__len__") else -1
    if rows == len(several) and any(len(item) != rows for item in several):
        what = "inputs" if at == "x" else "targets"
        raise DataError(
            f"a list of {rows} arrays is {rows} {what}, but there are {rows} rows",
            at=at,
            fix=f"If each array is one row, stack them: {at} = np.stack({at}).",
        )
