"""The profile of the training data, from the rows themselves."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lepton_ai.bundle import Feature, Profile
from lepton_ai.core import DataError, ShapeError
from lepton_ai.data.dispatch import as_source
from lepton_ai.data.foreign import Batches
from lepton_ai.data.source import Indexed
from lepton_ai.data.stream import Stream
from lepton_ai.data.table import Column, Table
from lepton_ai.data.tree import map_tree
from lepton_ai.rng import derive, permutation

ROWS = 50_000  # profiled at most
HEAD = 10_000  # first rows of a stream, which are what is profiled
VALUES = 1_000_000  # profiled at most in one input
COLUMNS = 1_024  # beyond these, an input is one feature
TOP = 100  # categories that are counted by name
_LEVELS = np.linspace(0, 1, 21)
_BINS = 20


def build_profile(
    x: Any,
    y: Any = None,
    *,
    names: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    input_names: Sequence[str] | None = None,
    seed: int = 0,
) -> Profile:
    """Counts of each feature of `x` and of the targets; larger data by a seeded sample of 50,000 rows, a
    stream by its first 10,000.

    An input (N, F) has a feature for each column, called by `names` or `x0`, `x1`, ...; (N, T, F) has one for each of
    the F, over all steps; uint8 (N, H, W) and rank 4 or more are one of kind "image" over all pixels, whose `count`
    is that of images. More than 1,024 columns are one feature. Texts that come twice or more on average are
    categories; others are known by their lengths. Inputs are called as in their dictionary, by `input_names`, or
    `input`, `input_1`, ... Histograms have 20 bins of equal width from lowest to highest; the quantiles hold the
    other view. Infinite values count as missing.

    Targets of whole-number or boolean dtype, one-hot rows and floats of 0 and 1 are classes: one category feature,
    its values called by `labels`. The 100 most frequent categories are listed.

    Raises: DataError for ready batches; ShapeError for `names` that do not fit; as `as_source`.

    Example:
        >>> profile = build_profile([[1.0, 10.0], [3.0, 30.0]], [0, 1], names=["age", "pay"], labels=["no", "yes"])
        >>> [(feature.name, feature.mean) for feature in profile.inputs["input"]]
        [('age', 2.0), ('pay', 20.0)]
        >>> profile.targets[0].categories
        {'no': 1, 'yes': 1}
    """
    if isinstance(x, Table) and y is None:
        return _of_table(x, seed)
    source = x if isinstance(x, Indexed) and y is None else as_source(x, y, texts=True)
    if isinstance(source, Stream):
        source = source.head(HEAD)
    if isinstance(source, Batches):
        raise DataError("ready batches cannot be profiled", at="build_profile", fix="Give arrays or an indexed source.")
    rows, inputs, targets = _fetch(source, seed)
    chosen = labels if labels is not None else source.labels
    named = _named(inputs, "input", input_names)
    if names is not None and len(named) > 1:
        raise ShapeError("names of columns for several inputs", at="build_profile.names", fix="Leave names out.")
    return Profile(
        rows=rows,
        inputs={name: _input(name, array, names, seed) for name, array in named.items()},
        targets=tuple(_target(name, array, chosen) for name, array in _named(targets, "target", None).items()),
    )


def _sample(rows: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    return np.arange(rows) if rows <= most else np.sort(permutation(derive(seed, "profile"), 0, rows)[:most])


def _fetch(source: Indexed, seed: int) -> tuple[int, Any, Any]:
    """How many rows, their inputs, and their targets (those of the whole sample, where they are in memory)."""
    rows = _sample(len(source), ROWS, seed)
    first = source.fetch(torch.zeros(1, dtype=torch.int64))[0]
    width = max(array.size for array in _named(first, "input", None).values())
    # Large rows: fewer of them, but never below 256; `_image` thins out pixels instead.
    few = rows[:: max(1, min(-(-len(rows) * width // VALUES), len(rows) // 256))]
    x, y, _ = source.fetch(torch.from_numpy(few))
    y_all = source.y_all
    return len(few), x, y if y_all is None else map_tree(lambda tensor: tensor[torch.from_numpy(rows)], y_all)


def _named(tree: Any, base: str, names: Sequence[str] | None) -> dict[str, npt.NDArray[Any]]:
    """The arrays of `tree` by name."""
    if tree is None:
        return {}
    if isinstance(tree, dict):
        return {str(name): _numpy(tensor) for name, tensor in tree.items()}
    arrays = tree if isinstance(tree, tuple) else (tree,)
    if names is None:
        names = [base if i == 0 else f"{base}_{i}" for i in range(len(arrays))]
    if len(names) != len(arrays):
        raise ShapeError(at="build_profile.input_names", got=list(names), expected=f"{len(arrays)} names")
    return {name: _numpy(tensor) for name, tensor in zip(names, arrays, strict=True)}


def _numpy(tensor: Any) -> npt.NDArray[Any]:
    if isinstance(tensor, np.ndarray):  # texts
        return np.asarray(tensor)
    tensor = tensor.detach().cpu()
    return np.asarray((tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _input(name: str, array: npt.NDArray[Any], names: Sequence[str] | None, seed: int) -> tuple[Feature, ...]:
    if array.ndim >= 4 or (array.ndim == 3 and array.dtype == np.uint8):
        return (_image(name, array, seed),)
    if array.ndim == 1:
        array = array[:, None]
    width = array.shape[-1]
    if names is not None and len(names) != width:
        raise ShapeError(at="build_profile.names", got=len(names), expected=f"{width} names, one for each column")
    if width > COLUMNS:
        return (_number(name, array.reshape(-1)),)
    columns = array.reshape(-1, width)
    if array.dtype.kind == "O":
        given = names if names is not None else [name] if width == 1 else [f"{name}[{i}]" for i in range(width)]
        return tuple(_texts(given[i], columns[:, i].tolist()) for i in range(width))
    return tuple(_number(names[i] if names is not None else f"x{i}", columns[:, i]) for i in range(width))


def _texts(name: str, texts: list[Any]) -> Feature:
    """Texts that repeat are categories, counted by name; others are known by their lengths alone, and not kept."""
    there = [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in texts]
    there = [text for text in there if isinstance(text, str) and text]
    lengths = _number(name, np.array([len(text) for text in there], np.int64))
    counts = Counter(there)
    fields = {field: getattr(lengths, field) for field in lengths.__struct_fields__}
    fields |= {"missing": len(texts) - len(there), "kind": "text"}
    if len(counts) <= max(2, len(there) // 2):
        top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP]
        fields |= {"kind": "category", "categories": dict(top)}
    return Feature(**fields)


def _image(name: str, images: npt.NDArray[Any], seed: int) -> Feature:
    pixels = images.reshape(len(images), -1)
    most = max(1, VALUES // len(pixels))
    if pixels.shape[1] > most:
        pixels = pixels[:, _sample(pixels.shape[1], most, seed)]
    feature = _bytes(name, pixels) if pixels.dtype == np.uint8 else _number(name, pixels.reshape(-1))
    fields = {field: getattr(feature, field) for field in feature.__struct_fields__}
    return Feature(**{**fields, "kind": "image", "count": len(images)})


def _bytes(name: str, values: npt.NDArray[np.uint8]) -> Feature:
    """As `_number`, exactly, from the counts of the 256 values: no sorting."""
    counts = np.bincount(values.reshape(-1), minlength=256)
    present = np.flatnonzero(counts)
    grid = np.arange(256)
    total = int(counts.sum())
    mean = float((grid * counts).sum() / total)
    std = float(np.sqrt(((grid - mean) ** 2 * counts).sum() / total))
    # numpy's "linear" quantiles: between the two ranks around level * (total - 1).
    ranks = _LEVELS * (total - 1)
    ends = np.cumsum(counts)
    below = np.searchsorted(ends, np.floor(ranks), side="right")
    above = np.searchsorted(ends, np.ceil(ranks), side="right")
    quantiles = below + (above - below) * (ranks - np.floor(ranks))
    edges = _edges(float(present[0]), float(present[-1]))
    binned, _ = np.histogram(grid, bins=edges, weights=counts)
    return _feature(name, total, 0, mean, std, quantiles, edges, binned.astype(np.int64))


def _number(name: str, column: npt.NDArray[Any]) -> Feature:
    values = column.astype(np.float64)
    good = values[np.isfinite(values)]
    missing = values.size - good.size
    if good.size == 0:
        return Feature(name=name, kind="number", count=0, missing=missing)
    quantiles = np.quantile(good, _LEVELS)
    edges = _edges(float(quantiles[0]), float(quantiles[-1]))
    counts, _ = np.histogram(good, bins=edges)
    return _feature(name, good.size, missing, float(good.mean()), float(good.std()), quantiles, edges, counts)


def _feature(
    name: str,
    count: int,
    missing: int,
    mean: float,
    std: float,
    quantiles: npt.NDArray[Any],
    edges: npt.NDArray[Any],
    counts: npt.NDArray[Any],
) -> Feature:
    return Feature(
        name=name,
        kind="number",
        count=count,
        missing=missing,
        mean=mean,
        std=std,
        quantiles=tuple(quantiles.tolist()),
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
    )


def _edges(low: float, high: float) -> npt.NDArray[np.float64]:
    """21 edges; a constant gets a bin of its own in the middle."""
    if high - low <= max(abs(low), abs(high)) * 1e-12:
        room = max(0.5, abs(low) * 1e-6)
        low, high = low - room, high + room
    return np.linspace(low, high, _BINS + 1)


def _target(name: str, array: npt.NDArray[Any], labels: Sequence[str] | None) -> Feature:
    one_hot = array.ndim == 2 and array.shape[1] > 1 and bool(((array == 0) | (array == 1)).all())
    if one_hot and bool((array.sum(axis=1) == 1).all()):
        array = array.argmax(axis=1)
    flat = array.reshape(-1)
    classes = array.dtype.kind in "iub" or (labels and bool((flat == np.floor(flat)).all()))
    if array.ndim <= 2 and array.size == len(array) and (classes or bool(((flat == 0) | (flat == 1)).all())):
        values, counts = np.unique(flat.astype(np.int64), return_counts=True)
        texts = [labels[v] if labels and 0 <= v < len(labels) else str(v) for v in values.tolist()]
        return _categories(name, dict(zip(texts, counts.tolist(), strict=True)), 0)
    return _number(name, flat)


def _categories(name: str, counts: dict[str, int], missing: int) -> Feature:
    top = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP])
    return Feature(name=name, kind="category", count=sum(counts.values()), missing=missing, categories=top)


def _of_table(table: Table, seed: int) -> Profile:
    rows = _sample(len(table), ROWS, seed)
    part = table.take(rows)
    features = {name: _of_column(part.column(name)) for name in part.names}
    targets = (_of_column(part.column(table.target)),) if table.target is not None else ()
    return Profile(rows=len(rows), inputs={"input": tuple(features.values())}, targets=targets)


def _of_column(column: Column) -> Feature:
    if column.categories is None:
        return _number(column.name, column.values)
    there = [value for value in column.values if value is not None]
    values, counts = np.unique(np.array(there, dtype=str), return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return _categories(column.name, found, len(column.values) - len(there))
