"""Splits: at random, by class, by group, by time. Every row goes to exactly one part."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError
from lepton_ai.data.frame import is_frame
from lepton_ai.data.source import Indexed, Subset
from lepton_ai.data.table import Table
from lepton_ai.data.tree import leaves, map_tree
from lepton_ai.rng import derive, permutation

Indices = npt.NDArray[np.int64]


def split(
    *arrays: Any,
    test: float = 0.2,
    fractions: Sequence[float] | None = None,
    seed: int = 0,
    stratify: Any = None,
    groups: Any = None,
    time: Any = None,
) -> tuple[Any, ...]:
    """Arrays of equal length (or tables, data frames, sources) in parts: two, or one for each of `fractions`.

    Each part is a tuple of the arrays' rows, or the rows themselves for a single array. See `split_indices`.

    Example:
        >>> x, y = np.arange(10), np.arange(10) % 2
        >>> (x_train, y_train), (x_test, y_test) = split(x, y, test=0.2, stratify=y)
        >>> len(x_train), len(x_test), sorted(y_test.tolist())
        (8, 2, [0, 1])
    """
    if not arrays:
        raise ConfigError("no arrays", at="split", fix="Write split(x, y, test=0.2).")
    lengths = [(f"array {i}{at}", _rows(leaf)) for i, array in enumerate(arrays) for at, leaf in leaves(array, "")]
    for name, length in lengths:
        if length != lengths[0][1]:
            raise DataError(
                f"different lengths: {lengths[0][0]} has {lengths[0][1]} rows, {name} has {length}", at="split"
            )
    parts = split_indices(
        lengths[0][1], test=test, fractions=fractions, seed=seed, stratify=stratify, groups=groups, time=time
    )
    taken = [tuple(take_rows(array, part) for array in arrays) for part in parts]
    return tuple(part if len(arrays) > 1 else part[0] for part in taken)


def take_rows(data: Any, indices: Indices) -> Any:
    """The rows at `indices` of an array, a tensor, a table, a data frame, a list, a source, or a structure of them."""
    return map_tree(partial(_take, indices=indices), data)


def split_indices(
    rows: int,
    *,
    test: float = 0.2,
    fractions: Sequence[float] | None = None,
    seed: int = 0,
    stratify: Any = None,
    groups: Any = None,
    time: Any = None,
) -> tuple[Indices, ...]:
    """The indices (int64) of each part of `rows` rows; sizes follow `fractions`, by default (1 - test, test).

    At most one of: `stratify` (N,), classes that every part gets in equal proportion; `groups` (N,), each of which
    stays in one part; `time` (N,), where every row of a part is earlier than those of the next. Parts are shuffled,
    but ordered in time. The same arguments give the same split.

    Raises: ConfigError for fractions that cannot be; DataError for fewer rows, rows of a class, groups or distinct
    times than parts, and for gaps in them.
    """
    shares = _shares(test, fractions)
    named = [
        (name, keys) for name, keys in (("stratify", stratify), ("groups", groups), ("time", time)) if keys is not None
    ]
    if len(named) > 1:
        raise ConfigError(f"{named[0][0]} and {named[1][0]} together", at="split", fix="Choose one of them.")
    if rows < len(shares):
        raise DataError(f"{rows} rows for {len(shares)} parts", at="split", fix="Give at least one row for each part.")
    key = derive(seed, "split")
    if not named:
        order = permutation(key, 0, rows)
        return tuple(np.split(order, np.cumsum(_sizes(rows, shares))[:-1]))
    keys = _keys(named[0][1], rows, named[0][0])
    by = {"stratify": _by_class, "groups": _by_group, "time": _by_time}[named[0][0]]
    return by(keys, shares, key)


def _by_class(classes: npt.NDArray[Any], shares: npt.NDArray[np.float64], key: int) -> tuple[Indices, ...]:
    values, codes, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if counts.min() < len(shares):
        value, few = values[counts.argmin()], counts.min()
        fix = "Add rows of that class, merge it with another, or leave stratify out."
        what = f"class {value.item()!r} has {few} row{'s' if few > 1 else ''}, but there are {len(shares)} parts"
        raise DataError(what, at="split.stratify", fix=fix)
    order = permutation(key, 0, len(classes))
    order = order[np.argsort(codes[order], kind="stable")]
    sizes = _class_sizes(counts, shares)
    parts: list[list[Indices]] = [[] for _ in shares]
    for rows, cuts in zip(np.split(order, np.cumsum(counts)[:-1]), sizes, strict=True):
        for part, piece in zip(parts, np.split(rows, np.cumsum(cuts)[:-1]), strict=True):
            part.append(piece)
    joined = (np.concatenate(part) for part in parts)
    return tuple(part[permutation(key, 1 + place, len(part))] for place, part in enumerate(joined))


def _class_sizes(counts: Indices, shares: npt.NDArray[np.float64]) -> Indices:
    """Rows of each class (rows) in each part (columns): the share rounded down or up, and at least one."""
    wanted = counts[:, None] * shares
    sizes = np.maximum(np.floor(wanted + 1e-9).astype(np.int64), 1)
    for row in range(len(counts)):  # a small class: the largest part gives what the ones need
        while sizes[row].sum() > counts[row]:
            sizes[row, sizes[row].argmax()] -= 1
    need = _sizes(int(counts.sum()), shares) - sizes.sum(axis=0)
    left = counts - sizes.sum(axis=1)
    rest = wanted - sizes
    # Classes with the largest remainder first. A row goes to a part that has a remainder itself, so that no share is
    # off by more than one, and among those to where the whole lacks most.
    for row in np.argsort(-rest.max(axis=1), kind="stable"):
        for _ in range(left[row]):
            fits = rest[row] > 1e-9 if (rest[row] > 1e-9).any() else np.ones(len(shares), bool)
            part = int(np.where(fits, need + rest[row] * 0.5, -np.inf).argmax())
            sizes[row, part] += 1
            rest[row, part] -= 1
            need[part] -= 1
    return sizes


def _by_group(groups: npt.NDArray[Any], shares: npt.NDArray[np.float64], key: int) -> tuple[Indices, ...]:
    values, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(values) < len(shares):
        raise DataError(f"{len(values)} groups for {len(shares)} parts", at="split.groups", fix="Give more groups.")
    order = permutation(key, 0, len(values))
    order = order[np.argsort(-counts[order], kind="stable")]
    need = shares * len(groups)
    home = np.empty(len(values), np.int64)
    empty = set(range(len(shares)))
    for done, group in enumerate(order):  # the largest first, each to the part that lacks most
        among = sorted(empty) if len(values) - done == len(empty) else range(len(shares))
        part = max(among, key=lambda place: need[place])
        home[group] = part
        need[part] -= counts[group]
        empty.discard(part)
    rows = permutation(key, 1, len(groups))
    return tuple(rows[home[codes[rows]] == part] for part in range(len(shares)))


def _by_time(times: npt.NDArray[Any], shares: npt.NDArray[np.float64], key: int) -> tuple[Indices, ...]:
    distinct, counts = np.unique(times, return_counts=True)
    if len(distinct) < len(shares):
        raise DataError(f"{len(distinct)} distinct times for {len(shares)} parts", at="split.time")
    ends = np.cumsum(counts)
    wanted = np.cumsum(shares)[:-1] * len(times)
    cuts: list[int] = []
    low = 0
    for place, want in enumerate(wanted):  # cut between two times, nearest to the wanted place
        high = len(distinct) - (len(wanted) - place)
        low += int(np.abs(ends[low:high] - want).argmin()) + 1
        cuts.append(int(ends[low - 1]))
    return tuple(np.split(np.argsort(times, kind="stable").astype(np.int64), cuts))


def _shares(test: float, fractions: Sequence[float] | None) -> npt.NDArray[np.float64]:
    shares = np.asarray((1 - test, test) if fractions is None else fractions, np.float64)
    if shares.ndim != 1 or len(shares) < 2 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        at, got = ("split.test", test) if fractions is None else ("split.fractions", tuple(fractions))
        expected = "a share between 0 and 1" if fractions is None else "two or more shares above 0 whose sum is 1"
        raise ConfigError(at=at, got=got, expected=expected, fix="For example test=0.2 or fractions=(0.7, 0.15, 0.15).")
    return shares


def _sizes(rows: int, shares: npt.NDArray[np.float64]) -> Indices:
    """Whole sizes by the largest remainder, at least one each."""
    wanted = rows * shares
    sizes = np.floor(wanted + 1e-9).astype(np.int64)
    order = np.argsort(sizes - wanted, kind="stable")
    sizes[order[: rows - sizes.sum()]] += 1
    while sizes.min() == 0:
        sizes[sizes.argmax()] -= 1
        sizes[sizes.argmin()] += 1
    return sizes


def _keys(keys: Any, rows: int, name: str) -> npt.NDArray[Any]:
    found = keys.detach().cpu().numpy() if isinstance(keys, Tensor) else np.asarray(keys)
    at = f"split.{name}"
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or len(found) != rows:
        raise DataError(at=at, got=found.shape, expected=f"one value for each of {rows} rows")
    missing = np.array([value is None or value != value for value in found.tolist()])  # noqa: PLR0124 - NaN
    missing |= np.isnat(found) if found.dtype.kind in "mM" else False
    if missing.any():
        what = f"{int(missing.sum())} missing, the first in row {int(missing.argmax())}"
        raise DataError(what, at=at, fix="Fill them or remove those rows.")
    if found.dtype.kind == "O" and name == "time":
        found = np.array(found.tolist())
    if found.dtype.kind in "USO" and name == "time":
        fix = "Convert: np.array(time, dtype='datetime64[s]')."
        raise DataError(
            f"strings or objects, the first {found.tolist()[0]!r}", at=at, expected="numbers or dates", fix=fix
        )
    return found.astype(str) if found.dtype.kind == "O" else found


def _rows(array: Any) -> int:
    if not hasattr(array, "__len__") or isinstance(array, str | bytes | Mapping):
        raise DataError(f"a {type(array).__name__}", at="split", expected="arrays with rows")
    return len(array)


def _take(array: Any, indices: Indices) -> Any:
    if isinstance(array, Indexed):
        return Subset(array, indices)
    if isinstance(array, Tensor):
        return array[torch.from_numpy(indices).to(array.device)]
    if isinstance(array, Table):
        return array.take(indices)
    if is_frame(array):
        return array.iloc[indices]
    if isinstance(array, list):
        return [array[index] for index in indices]
    return np.asarray(array)[indices]
