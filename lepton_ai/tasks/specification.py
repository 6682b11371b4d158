"""What goes in and what comes out."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, ShapeError, unknown_name
from lepton_ai.data import Table, as_array, check_finite, encode_labels
from lepton_ai.layers import as_texts
from lepton_ai.tasks.columns import category_names, columns_of, numbers_of

Array = npt.NDArray[Any]

_SPLITS = ["character", "mixed", "whitespace"]


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of `size` numbers, NaN where one is missing."""

    size: int

    def __post_init__(self) -> None:
        _positive("Vector.size", self.size)

    def take(self, x: Any) -> Array:
        """The rows as float32 (N, size).

        Raises: DataError for what holds no numbers; ShapeError for rows of another size.
        """
        rows = np.asarray(as_array(x, "x"), np.float32)
        check_finite(rows, "x", allow_nan=True)
        return _check_rows(rows[:, None] if rows.ndim == 1 and self.size == 1 else rows, (self.size,))


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """A table: columns of `numbers` (NaN where one is missing), of `categories`, and of `texts`."""

    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [*self.numbers, *self.categories, *self.texts]
        if not names or len(set(names)) < len(names):
            raise ConfigError(at="Columns", got=names, expected="at least one column, each named once")

    @classmethod
    def of(cls, x: Any, *, categories: tuple[str, ...] = (), texts: tuple[str, ...] = ()) -> "Columns":
        """The columns of a data frame or a `Table`: those with numbers in them are numbers, unless they are named among
        `categories`; those with strings are categories, unless named among `texts`.

        Raises: UnknownNameError for a name that is no column; DataError as `Table.from_frame`.

        Example:
            >>> import pandas
            >>> Columns.of(pandas.DataFrame({"age": [31, 58], "job": ["nurse", "clerk"]}))
            Columns(numbers=('age',), categories=('job',), texts=())
        """
        declared = (*categories, *texts)
        table = x if isinstance(x, Table) else Table.from_frame(x, categories=declared)
        for name in declared:
            if name not in table.names:
                raise unknown_name("column", name, list(table.names), at="Columns.of")
        plain = {name: table.column(name).categories is None for name in table.names if name not in declared}
        return cls(
            numbers=tuple(name for name, is_number in plain.items() if is_number),
            categories=tuple(name for name in table.names if not plain.get(name, name in texts)),
            texts=texts,
        )

    def take(self, x: Any) -> dict[str, Array]:
        """The columns by name, of a data frame, a `Table` or a dict of arrays. Other columns are left out.

        Numbers are float32 (N, 1), categories and texts are strings (N, 1), gaps among them "".

        Raises: UnknownNameError for a column that is missing; DataError for one that holds something else.
        """
        given = columns_of(x)
        for name in (*self.numbers, *self.categories, *self.texts):
            if name not in given:
                raise unknown_name("column", name, list(given), at="x lacks a column")
        found = {name: numbers_of(given[name], f"x[{name!r}]") for name in self.numbers}
        return found | {name: category_names(given[name], f"x[{name!r}]") for name in (*self.categories, *self.texts)}


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """Images (N, height, width, channels) of uint8; (N, height, width) will do for one channel."""

    height: int
    width: int
    channels: int = 3

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels"):
            _positive(f"Image.{name}", getattr(self, name))

    def take(self, x: Any) -> Array:
        """The images as uint8 (N, height, width, channels).

        Raises: DataError for other numbers than whole ones from 0 to 255; ShapeError.
        """
        rows = np.asarray(as_array(x, "x"))
        if rows.dtype != np.uint8:
            if rows.dtype.kind not in "iu" or (rows.size and not 0 <= rows.min() <= rows.max() <= 255):
                fix = (
                    "Give images as they are in their files. Of floats from 0 to 1: (x * 255).round().astype('uint8')."
                )
                raise DataError(at="x", got=str(rows.dtype), expected="whole numbers from 0 to 255", fix=fix)
            rows = rows.astype(np.uint8)
        rows = rows[..., None] if rows.ndim == 3 and self.channels == 1 else rows
        return _check_rows(rows, (self.height, self.width, self.channels))


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Measurements in time, (N, steps, channels), NaN where one is missing; `steps` None for any number of them."""

    steps: int | None
    channels: int = 1

    def __post_init__(self) -> None:
        _positive("Series.channels", self.channels)
        if self.steps is not None:
            _positive("Series.steps", self.steps)

    def take(self, x: Any) -> Array:
        """The series as float32 (N, steps, channels).

        Raises: DataError for what holds no numbers; ShapeError.
        """
        rows = np.asarray(as_array(x, "x"), np.float32)
        rows = rows[..., None] if rows.ndim == 2 and self.channels == 1 else rows
        if rows.ndim == 3 and rows.shape[1] == 0:
            raise ShapeError(at="x", got=rows.shape, expected="at least one step")
        check_finite(rows, "x", allow_nan=True)
        return _check_rows(rows, (self.steps, self.channels))


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """Texts (N,), of which the first `length` tokens count; one that is missing counts as empty.

    `split` is that of `TextVectorization`: "whitespace" for words, "character" for characters, or "mixed": words, but
    each Chinese or Japanese character by itself.
    """

    length: int = 200
    split: str = "mixed"

    def __post_init__(self) -> None:
        _positive("Text.length", self.length)
        if self.split not in _SPLITS:
            raise unknown_name("split", self.split, _SPLITS, at="Text")

    def take(self, x: Any) -> Array:
        """The texts as strings (N,).

        Raises: DataError naming the row that is no text; ShapeError for more than one column.
        """
        if isinstance(x, str | bytes | Mapping):
            raise DataError(at="x", got=type(x).__name__, expected="several texts", fix="Give a list of texts: [text].")
        texts = as_texts(x, "x", missing=True)
        return _check_rows(texts[:, 0] if texts.ndim == 2 and texts.shape[1] == 1 else texts, ())


class Classes(msgspec.Struct, frozen=True, kw_only=True):
    """One of several classes, by name. Targets are the names, or their numbers from 0."""

    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels):
            raise ConfigError(at="Classes.labels", got=self.labels, expected="two or more different names")

    @classmethod
    def of(cls, y: Any) -> "Classes":
        """The classes among targets: the names, sorted; of whole numbers, those from 0 to the largest.

        Raises: ConfigError for one class only; DataError for gaps.

        Example:
            >>> Classes.of(["dog", "cat", "dog"])
            Classes(labels=('cat', 'dog'))
        """
        values = np.asarray(y)
        if values.dtype.kind in "iub" and values.size:
            return cls(labels=tuple(map(str, range(int(values.max()) + 1))))
        return cls(labels=encode_labels(values)[1])

    def take(self, y: Any) -> Array:
        """The targets as int64 (N,).

        Raises: DataError for a name or number that is no class; ShapeError.
        """
        values = np.asarray(y)
        values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        if values.ndim != 1:
            fix = "From one-hot rows: y.argmax(1)."
            raise ShapeError(at="y", got=values.shape, expected="(N,), one class for each row", fix=fix)
        if any(isinstance(each, str) for each in values.tolist()):
            return encode_labels(values, self.labels)[0]
        codes = np.asarray(as_array(values, "y"), np.float64)
        wrong = ~np.isin(codes, np.arange(len(self.labels)))
        if wrong.any():
            row = int(wrong.argmax())
            expected = f"a class from 0 to {len(self.labels) - 1}, or its name"
            raise DataError(at=f"y, row {row}", got=values[row].item(), expected=expected)
        return codes.astype(np.int64)


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """`count` numbers for each row."""

    count: int = 1

    def __post_init__(self) -> None:
        _positive("Numbers.count", self.count)

    def take(self, y: Any) -> Array:
        """The targets as float32 (N, count).

        Raises: DataError for gaps; ShapeError.
        """
        rows = np.asarray(as_array(y, "y"), np.float32)
        rows = rows[:, None] if rows.ndim == 1 and self.count == 1 else rows
        check_finite(rows, "y")
        return _check_rows(rows, (self.count,), "y")


Input: TypeAlias = Vector | Columns | Image | Series | Text
Output: TypeAlias = Classes | Numbers


def _positive(at: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(at=at, got=value, expected="a positive int")


def _check_rows(rows: Array, shape: tuple[int | None, ...], at: str = "x") -> Array:
    got = rows.shape[1:]
    if len(got) != len(shape) or any(want not in (None, size) for want, size in zip(shape, got, strict=True)):
        raise ShapeError(f"got rows of shape {got}, expected {shape}, as specified", at=at)
    return rows
