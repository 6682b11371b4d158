"""Columns as readers find them, piece by piece: what each holds, and its values as numbers."""

import datetime
import decimal
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import DataError, unknown_name
from lepton_ai.data.convert import share
from lepton_ai.data.table import Column, Table

Chunk = Mapping[str, npt.NDArray[Any]]
"""Some rows of every column: float64 or int64 (NaN is missing), or texts as objects (None is missing)."""

MOST_CATEGORIES = 100_000  # one column for each of them would be more than any model takes
_DATES = (datetime.date, datetime.time, datetime.timedelta)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A column: numbers, all of them `whole` and there or not, or one of sorted `categories`."""

    name: str
    categories: tuple[str, ...] | None = None
    whole: bool = False


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a table that is not in memory, in the order and with the names of `Table.features`."""

    features: tuple[Kind, ...]
    target: Kind | None = None

    @property
    def names(self) -> tuple[str, ...]:
        found: list[str] = []
        for kind in self.features:
            found += [kind.name] if kind.categories is None else [f"{kind.name}={each}" for each in kind.categories]
        return tuple(found)

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.target.categories or ()) if self.target is not None else ()

    def expand(self, codes: npt.NDArray[np.float32]) -> Tensor:
        """Features (B, F) float32 from (B, columns): a column of 0 and 1 for each category."""
        if all(kind.categories is None for kind in self.features):
            return share(codes)
        parts: list[npt.NDArray[Any]] = []
        for place, kind in enumerate(self.features):
            column = codes[:, place, None]
            parts.append(column if kind.categories is None else column == np.arange(len(kind.categories)))
        return torch.from_numpy(np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe"))


class Kinds:
    """Learns what columns hold from one chunk after another, and numbers their categories as they come.

    Raises (in `add`): DataError for a column that is numbers here and texts there, other columns than before, and
    more than `most` different texts in one.
    """

    def __init__(self, target: str | None = None, most: int | None = MOST_CATEGORIES) -> None:
        self.target, self.most = target, most
        self.rows = 0
        self._text: dict[str, bool | None] = {}  # None: nothing but missing values so far
        self._whole: dict[str, bool] = {}
        self._places: dict[str, dict[str, int]] = {}
        self._no_target, self._first_without = 0, 0

    def add(self, chunk: Chunk) -> None:
        """Learn from some rows."""
        if not self._text:
            if self.target is not None and self.target not in chunk:
                raise unknown_name("target column", self.target, list(chunk), at="Table")
            self._text = dict.fromkeys(chunk)
            self._whole = dict.fromkeys(chunk, True)
            self._places = {name: {} for name in chunk}
        other = next(iter({*chunk} ^ {*self._text}), None)
        if other is not None:
            what = "a new column" if other in chunk else "no column"
            raise DataError(f"{what} {other!r} in row {self.rows}", at="Table", expected=", ".join(self._text))
        size = 0
        for name, values in chunk.items():
            size = len(values)
            gone = missing(values)
            self._whole[name] &= values.dtype.kind == "i"
            if not gone.all():
                self._one_kind(name, values, gone)
            if name == self.target and gone.any():
                self._first_without = self._first_without if self._no_target else self.rows + int(gone.argmax())
                self._no_target += int(gone.sum())
        self.rows += size

    def _one_kind(self, name: str, values: npt.NDArray[Any], gone: npt.NDArray[Any]) -> None:
        text, row = values.dtype.kind == "O", int((~gone).argmax())
        if self._text[name] not in (None, text):
            kinds = ("a text", "numbers") if text else ("a number", "texts")
            fix = f"If they are names: categories=[{name!r}]. If the text means missing, give it as None."
            what = f"{kinds[0]} ({values[row]!r}) in row {self.rows + row}, where {kinds[1]} came before"
            raise DataError(what, at=f"Table[{name!r}]", fix=fix)
        self._text[name] = text
        if text:
            places = self._places[name]
            for value in dict.fromkeys(values[~gone].tolist()):  # in order; long texts would make wide numpy arrays
                places.setdefault(value, len(places))
            if self.most is not None and len(places) > self.most:
                fix = "Leave it out: name the others in columns."
                raise DataError(f"more than {self.most} different texts", at=f"Table[{name!r}]", fix=fix)

    def codes(self, name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Numbers as they are; texts as numbers in the order in which they came; NaN where missing."""
        return encode(values, self._places[name])

    def layout(self) -> Layout:
        """What all chunks together hold.

        Raises: DataError for no rows, and for rows without a target.
        """
        if self.rows == 0:
            raise DataError("empty data: 0 rows", at="Table")
        if self._no_target:
            where = f"{self._no_target} of {self.rows} rows, the first row {self._first_without}"
            raise DataError(f"no target in {where}", at=f"Table[{self.target!r}]", fix="Remove those rows.")
        kinds = {
            name: Kind(
                name=name, whole=self._whole[name], categories=tuple(sorted(self._places[name])) if text else None
            )
            for name, text in self._text.items()
        }
        target = None if self.target is None else kinds.pop(self.target)
        if not kinds:
            raise DataError("no columns but the target", at="Table", fix="Name at least one column.")
        return Layout(features=tuple(kinds.values()), target=target)

    def ranks(self, name: str) -> npt.NDArray[np.float64]:
        """For each number that `codes` gives a text, its place among the sorted ones."""
        places = self._places[name]
        ranks = np.empty(len(places), np.float64)
        ranks[[places[text] for text in sorted(places)]] = np.arange(len(places))
        return ranks


def encode(values: npt.NDArray[Any], places: Mapping[str, int]) -> npt.NDArray[np.float64]:
    """Texts as their `places`, NaN where missing; numbers as they are."""
    if values.dtype.kind != "O":
        return values.astype(np.float64)
    return np.array([np.nan if text is None else places[text] for text in values.tolist()], np.float64)


def missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which are."""
    if values.dtype.kind == "O":
        return np.array([value is None for value in values], np.bool_)
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)


def gather(chunks: Iterable[Chunk], target: str | None) -> Table:
    """All rows in memory.

    Raises: as `Kinds`.
    """
    kinds, held = Kinds(target, most=None), []
    for chunk in chunks:
        kinds.add(chunk)
        held.append(chunk)
    layout = kinds.layout()
    found = {kind.name: kind for kind in (*layout.features, *((layout.target,) if layout.target else ()))}
    columns = []
    for name in held[0]:
        categories = found[name].categories
        parts = [chunk[name] if categories is None else _texts(chunk[name]) for chunk in held]
        columns.append(Column(name=name, values=np.concatenate(parts), categories=categories))
    return Table(columns, target)


def as_values(values: Sequence[Any], at: str, where: Callable[[int], str], *, category: bool) -> npt.NDArray[Any]:
    """Python values of one column as numbers or texts; None is missing, and so is an empty text.

    Raises: DataError for dates, lists and other objects, and for texts among numbers.
    """
    kind: type | None = None
    for row, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, _DATES):
            fix = "Turn them into numbers first, for example days since a date."
            raise DataError(f"a date or time ({value}) in {where(row)}", at=at, fix=fix)
        this = str if isinstance(value, str) or category else float
        if not isinstance(value, str | numbers.Real | decimal.Decimal):
            raise DataError(f"a {type(value).__name__} in {where(row)} where a number or a text belongs", at=at)
        if kind not in (None, this):
            name = at.partition("[")[2].rstrip("]")
            fix = f"If they are names: categories=[{name}]. If it means missing, write null."
            raise DataError(
                f"{value!r} in {where(row)} among {'numbers' if kind is float else 'texts'}", at=at, fix=fix
            )
        kind = this
    if kind is str:
        return np.array([None if value is None or value == "" else str(value) for value in values] + [None], object)[
            :-1
        ]
    if kind is float and all(isinstance(value, int) and abs(value) < 2**63 for value in values):
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else float(value) for value in values], np.float64)


def _texts(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values if values.dtype.kind == "O" else np.full(len(values), None, object)
