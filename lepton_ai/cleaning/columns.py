"""Columns as they came, beside what they mean: numbers, dates or texts, what is missing, what does not fit."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Kind = Literal["number", "date", "text"]

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"})  # as data.read_csv takes them
HUGE = 1e100
MOSTLY = 0.8  # a column with at least this share of numbers (dates) is one of numbers (dates) with faults
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|infinity)", re.IGNORECASE)
_PADDED = re.compile(r"0\d+")
_DATES = ("", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%d %b %Y", "%m/%d/%y", "%d.%m.%y")
_PROBE = 200  # distinct values by which the format of dates is chosen


class Column:
    """`raw` (N,) is the column as it came. `values` (N,) is what it means: float64 for numbers and for dates (seconds
    since 1970), NaN where there is none; object for texts, None where there is none.

    `missing` (N,) marks what is not there, and `odd` (N,) what is there but is no number in a column of numbers, or
    no date in one of dates.
    """

    def __init__(self, name: str, kind: Kind, raw: Array, values: Array, missing: Array, odd: Array) -> None:
        self.name, self.kind, self.raw = name, kind, raw
        self.values, self.missing, self.odd = values, missing, odd

    def __len__(self) -> int:
        return len(self.raw)

    @cached_property
    def known(self) -> Array:
        """Where there is a value of the column's kind (N,)."""
        return ~(self.missing | self.odd)

    @cached_property
    def present(self) -> Array:
        """The values that are there and fit."""
        return self.values[self.known]

    @cached_property
    def bounded(self) -> Array:
        """Where there is a number (N,) that can be reckoned with: finite, and its square too."""
        if self.kind == "text":
            return np.zeros(len(self), bool)
        return np.asarray(np.abs(np.nan_to_num(self.values, nan=HUGE)) < HUGE)

    @cached_property
    def finite(self) -> Array:
        """The numbers that are finite, float64; none for texts."""
        return np.zeros(0) if self.kind == "text" else np.asarray(self.values[self.bounded], np.float64)

    @cached_property
    def codes(self) -> tuple[Array, list[Any]]:
        """Each row's place (N,) among the distinct values, -1 where there is none; and those values, sorted."""
        codes = np.full(len(self), -1, np.int64)
        if self.kind == "text":  # not by np.unique, which would give each text the room of the longest
            texts = sorted(set(self.present.tolist()))
            place = {text: index for index, text in enumerate(texts)}
            codes[self.known] = [place[text] for text in self.present]
            return codes, texts
        found, places = np.unique(self.present, return_inverse=True)
        codes[self.known] = places
        return codes, found.tolist()

    @cached_property
    def counts(self) -> Array:
        """How often each of the distinct values stands there."""
        codes, values = self.codes
        return np.bincount(codes[codes >= 0], minlength=len(values))

    @cached_property
    def whole(self) -> bool:
        """Whether the numbers are all whole."""
        return self.kind == "number" and len(self.finite) > 0 and bool((self.finite == np.rint(self.finite)).all())

    @cached_property
    def categorical(self) -> bool:
        """Whether the values repeat as those of a category do: few for texts, very few for whole numbers."""
        distinct = len(self.codes[1])
        if self.kind == "text":
            return distinct <= max(20, 0.05 * len(self.present))
        return self.whole and distinct <= 20 and 5 * distinct <= len(self.present)

    @cached_property
    def identifier(self) -> bool:
        """Whether it names rows: texts or whole numbers that hardly repeat; numbers must also rise row by row, or
        be called so."""
        number, distinct = len(self.present), len(self.codes[1])
        if number < 10 or distinct < 0.99 * number:
            return False
        if self.kind == "text":
            lengths = [len(text) for text in self.present[:1000]]
            words = [text.count(" ") for text in self.present[:1000]]
            return float(np.mean(lengths)) <= 40 and float(np.mean(words)) < 2
        if self.kind != "number" or not self.whole:
            return False
        called = re.search(r"(^|[^a-z])(id|uuid|guid|key|index|nr|no)$", self.name.lower().strip()) is not None
        return (
            called
            or bool((np.diff(self.finite) == 1).all())
            or (number >= 50 and bool((np.diff(self.finite) > 0).all()))
        )

    @cached_property
    def hashes(self) -> Array:
        """64 bits (N,) for each value, equal for equal values of a column of this name, here and in other data."""
        salt = _digest(self.name)
        if self.kind == "text" or self.odd.any():
            texts = [None if gone else str(value) for value, gone in zip(self.raw, self.missing, strict=True)]
            table = {text: _digest(f"={text.strip()}") if text is not None else 0 for text in set(texts)}
            table |= self._numbers(texts)
            bits = np.array([table[text] for text in texts], np.uint64)
        else:
            numbers = np.where(self.missing, 0.0, self.values) + 0.0  # and -0 is 0
            bits = np.where(
                self.missing, np.uint64(0), scramble(numbers.view(np.uint64) | np.uint64(1)) ^ numbers.view(np.uint64)
            )
        return scramble(bits + np.uint64(salt))

    def _numbers(self, texts: Sequence[str | None]) -> dict[str | None, int]:
        if self.kind == "text":
            return {}
        numbers = dict(zip(texts, self.values.tolist(), strict=True))
        fit = {text: number for text, number in numbers.items() if number == number}  # noqa: PLR0124 - not NaN
        bits = np.array(list(fit.values()), np.float64) + 0.0
        hashed = scramble(bits.view(np.uint64) | np.uint64(1)) ^ bits.view(np.uint64)
        return dict(zip(fit, hashed.tolist(), strict=True))

    def show(self, row: int) -> str:
        """The value in a row, as it came."""
        value = self.raw[row]
        return value if isinstance(value, str) else repr(value.item() if isinstance(value, np.generic) else value)

    def take(self, rows: Any) -> "Column":
        """The column at `rows` (indices or a mask)."""
        parts = (each[rows] for each in (self.raw, self.values, self.missing, self.odd))
        return Column(self.name, self.kind, *parts)

    def as_kind(self, kind: Kind) -> "Column":
        """The column read as another kind, as data that must fit other data is."""
        texts = [None if gone else str(value) for value, gone in zip(self.raw, self.missing, strict=True)]
        return _of_kind(self.name, kind, self.raw, texts)


def scramble(bits: Array) -> Array:
    """Scramble 64-bit integers (N,) so that every bit of the result depends on all bits (SplitMix64's finaliser).

    Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.
    """
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))


def parse(name: str, raw: Iterable[Any]) -> Column:
    """The column that `raw` makes: numbers, dates or texts, whichever most of it is.

    Example:
        >>> column = parse("age", ["31", "", "about 40", "28", "55", "60"])
        >>> column.kind, column.values.tolist(), column.odd.nonzero()[0].tolist()
        ('number', [31.0, nan, nan, 28.0, 55.0, 60.0], [2])
    """
    array = raw if isinstance(raw, np.ndarray) else _objects(raw)
    if array.dtype.kind in "biuf":
        values = array.astype(np.float64)
        return Column(name, "number", array, values, np.isnan(values), np.zeros(len(array), bool))
    if array.dtype.kind == "M":
        gone = np.isnat(array)
        seconds = array.astype("datetime64[us]").astype(np.int64) / 1e6
        return Column(name, "date", array, np.where(gone, np.nan, seconds), gone, np.zeros(len(array), bool))
    array = array.astype(object)
    texts = [_text(value) for value in array]
    return _of_kind(name, _kind(texts), array, texts)


def _objects(raw: Iterable[Any]) -> Array:
    values = list(raw)
    array = np.empty(len(values), object)
    array[:] = values
    plain = all(type(value) in (int, float, bool) or value is None for value in values)
    if plain and values and any(value is not None for value in values):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return array


def _text(value: Any) -> str | None:
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = str(value)
    return None if text.strip() in MISSING else text


def _kind(texts: Sequence[str | None]) -> Kind:
    seen = Counter(text for text in texts if text is not None)
    there = seen.total()
    if not there:
        return "text"
    numbers = sum(times for text, times in seen.items() if number(text) is not None)
    padded = sum(times for text, times in seen.items() if _PADDED.fullmatch(text.strip()))
    if numbers >= MOSTLY * there:
        return "text" if padded >= 0.01 * there else "number"  # 00123 is a name, not 123
    form = _form(list(seen))
    dates = sum(times for text, times in seen.items() if _date(text, form) is not None)
    return "date" if dates >= MOSTLY * there else "text"


def _of_kind(name: str, kind: Kind, raw: Array, texts: Sequence[str | None]) -> Column:
    missing = np.array([text is None for text in texts], bool)
    if kind == "text":
        values = np.array([None if text is None else text for text in texts] + [None], object)[:-1]
        return Column(name, kind, raw, values, missing, np.zeros(len(raw), bool))
    distinct = {text: None for text in texts if text is not None}
    form = _form(list(distinct)) if kind == "date" else ""
    table = {text: number(text) if kind == "number" else _date(text, form) for text in distinct}
    found = [None if text is None else table[text] for text in texts]
    parsed = np.array([np.nan if value is None else value for value in found], np.float64)
    odd = np.array([value is None for value in found], bool) & ~missing
    return Column(name, kind, raw, parsed, missing, odd)


def number(text: str) -> float | None:
    """The number that a text is, or None.

    Example:
        >>> number(" 1.5e3"), number("-inf"), number("1,000"), number("1_000"), number("nan")
        (1500.0, -inf, None, None, None)
    """
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _form(texts: Sequence[str]) -> str:
    probe = texts[:: max(1, len(texts) // _PROBE)]
    return max(_DATES, key=lambda form: sum(_date(text, form) is not None for text in probe))


def _date(text: str, form: str) -> float | None:
    text = text.strip()
    if len(text) < 6 or not any(mark in text for mark in "-/. "):
        return None
    try:
        found = datetime.strptime(text, form) if form else datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
