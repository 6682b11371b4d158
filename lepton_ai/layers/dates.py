"""Dates and times written as text."""

import re
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.shapes import Shape
from lepton_ai.layers.stage import Array, GraphBuilder, Stage, Value, one_value
from lepton_ai.layers.text_graph import sliced

PARTS = ("year", "month", "day", "weekday", "day_of_year", "hour", "minute", "second")

# Every date there is from year 1000 on, in a syntax that Python and RE2 share.
_LONG = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
_SHORT = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
_FEBRUARY = "02-(?:0[1-9]|1[0-9]|2[0-8])"
_LEAP = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29"
_ZONE = "[+-][0-9]{2}:?[0-9]{2}"
_TIME = f"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\\.[0-9]{{1,9}})?(?:Z|{_ZONE})?|Z)?"
_DATE = f"(?:[1-9][0-9]{{3}}-(?:{_LONG}|{_SHORT}|{_FEBRUARY})|{_LEAP})(?:{_TIME})?"
_VALID = re.compile(_DATE)
_DIGITS = re.compile("[0-9]+")
_EPOCH = "1970-01-01"
_NO_TIME = " 0 0 0"  # behind each text, so that all have six numbers
_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)  # days of the year before each month


class DateParts(Stage):
    """Dates and times in ISO 8601 (`2024-02-29`, `2024-02-29T18:30:00Z`, a space for the T) as the parts named.

    Shapes: `(B,)` or `(B, 1)` strings in; `(B, P)` float32 out, a column for each part in the order of `parts`.

    Years are 1000 to 9999. `weekday` is 0 on Mondays, `day_of_year` begins with 1; a date alone has hour, minute and
    second 0. Parts are those that are written: an offset from UTC is allowed and does not change them.

    Args:
        parts: some of "year", "month", "day", "weekday", "day_of_year", "hour", "minute", "second".
        missing: None: what is no date is an error. "indicator": it gives 0 for all parts, and a last column says 1.

    Raises: ConfigError for unknown parts; DataError naming the row that is no date.

    Example:
        >>> DateParts(["year", "month", "weekday"])(["2024-02-29", "1999-12-31 23:59"])
        tensor([[2.0240e+03, 2.0000e+00, 3.0000e+00],
                [1.9990e+03, 1.2000e+01, 4.0000e+00]])
    """

    output_dtype = "float32"

    def __init__(
        self,
        parts: Any = ("year", "month", "day", "weekday"),
        *,
        missing: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        listed = (parts,) if isinstance(parts, str) else tuple(parts)
        if not listed or not set(listed) <= set(PARTS):
            odd = next((part for part in listed if part not in PARTS), listed)
            raise ConfigError(at="DateParts.parts", got=odd, expected=f"some of {', '.join(PARTS)}")
        if missing not in (None, "indicator"):
            raise ConfigError(at="DateParts.missing", got=missing, expected='None or "indicator"')
        self.parts = listed
        self.missing = missing
        self.accepts_missing = missing is not None

    def compute(self, *arrays: Array) -> Array:
        texts = arrays[0].reshape(-1)
        good = np.array([_VALID.fullmatch(text) is not None for text in texts], bool)
        if self.missing is None and not good.all():
            row = int(good.argmin())
            raise DataError(
                f"{texts[row]!r} in row {row} is no date, nor are {int((~good).sum()) - 1} more",
                at=self.label,
                expected="texts such as '2024-02-29' or '2024-02-29T18:30:00'",
                fix='Or take them for missing: DateParts(missing="indicator").',
            )
        numbers = np.array(
            [_DIGITS.findall((text if ok else _EPOCH) + _NO_TIME)[:6] for text, ok in zip(texts, good, strict=True)],
            np.int64,
        ).reshape(-1, 6)
        columns = [self._part(part, numbers) for part in self.parts]
        found = np.stack(columns, axis=1).astype(np.float32)
        if self.missing is None:
            return found
        return np.concatenate([found * good[:, None], ~good[:, None]], axis=1, dtype=np.float32)

    def onnx(self, builder: GraphBuilder, *inputs: Value) -> str:
        epoch = builder.constant(_EPOCH, object)
        texts = builder.node("Reshape", inputs[0].name, builder.constant([-1]))
        good = builder.node("RegexFullMatch", texts, pattern=_DATE)
        safe = builder.node("Where", good, texts, epoch)
        guarded = builder.node("Concat", safe, builder.constant([_EPOCH], object), axis=0)
        timed = builder.node("StringConcat", guarded, builder.constant(_NO_TIME, object))
        tokens = builder.node(
            "Tokenizer", timed, domain="com.microsoft", tokenexp="[0-9]+", mark=0, mincharnum=1, pad_value="0"
        )
        numbers = builder.node(
            "Cast", sliced(builder, sliced(builder, tokens, 0, 6, axis=1), 0, -1, axis=0), to=np.int64
        )
        columns = [_part_in_graph(builder, part, numbers) for part in self.parts]
        found = builder.node("Cast", builder.node("Concat", *columns, axis=1), to=np.float32)
        bad = builder.node("Not", good)
        if self.missing is None:
            return builder.refuse(bad, f"a text that is no date for {self.name}", found)
        there = builder.node("Unsqueeze", builder.node("Cast", good, to=np.float32), builder.constant([1]))
        gone = builder.node("Unsqueeze", builder.node("Cast", bad, to=np.float32), builder.constant([1]))
        return builder.node("Concat", builder.node("Mul", found, there), gone, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (one_value(input_shape, self.label)[0], len(self.parts) + (self.missing is not None))

    def examples(self) -> list[str]:
        some = ["2024-02-29", "1999-12-31T23:59:58", "2000-01-01 00:00"]
        return some if self.missing is None else [*some, "", "soon"]

    @staticmethod
    def _part(part: str, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        year, month, day = numbers[:, 0], numbers[:, 1], numbers[:, 2]
        if part == "weekday":
            shifted = year - (month < 3)
            century = shifted // 100
            leaps = shifted // 4 - century + century // 4
            return np.asarray((shifted + leaps + _by_month(_SAKAMOTO, month) + day) % 7)
        if part == "day_of_year":
            leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)) & (month > 2)
            return np.asarray(_by_month(_BEFORE, month) + day + leap)
        return numbers[:, ("year", "month", "day", "hour", "minute", "second").index(part)]


_SAKAMOTO = (6, 2, 1, 4, 6, 2, 4, 0, 3, 5, 1, 3)  # T. Sakamoto's offsets of the months, less one: Monday is 0


def _by_month(table: tuple[int, ...], month: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.asarray(np.array(table, np.int64)[month - 1])


def _part_in_graph(builder: GraphBuilder, part: str, numbers: str) -> str:
    """As `DateParts._part`, (N, 1)."""

    def column(index: int) -> str:
        return sliced(builder, numbers, index, index + 1, axis=1)

    def number(op: str, value: str, by: int) -> str:
        return builder.node(op, value, builder.constant(by))

    def total(first: str, *others: str) -> str:
        for other in others:
            first = builder.node("Add", first, other)
        return first

    def by_month(table: tuple[int, ...]) -> str:
        return builder.node("Gather", builder.constant(list(table)), number("Sub", column(1), 1))

    if part == "weekday":
        early = builder.node("Cast", number("Less", column(1), 3), to=np.int64)
        year = builder.node("Sub", column(0), early)
        century = number("Div", year, 100)
        leaps = builder.node("Sub", total(number("Div", year, 4), number("Div", century, 4)), century)
        return number("Mod", total(year, leaps, by_month(_SAKAMOTO), column(2)), 7)
    if part == "day_of_year":
        fourth = number("Equal", number("Mod", column(0), 4), 0)
        hundredth = number("Equal", number("Mod", column(0), 100), 0)
        kept = builder.node("Or", builder.node("Not", hundredth), number("Equal", number("Mod", column(0), 400), 0))
        leap = builder.node("And", builder.node("And", fourth, kept), number("Greater", column(1), 2))
        return total(by_month(_BEFORE), column(2), builder.node("Cast", leap, to=np.int64))
    return column(("year", "month", "day", "hour", "minute", "second").index(part))
