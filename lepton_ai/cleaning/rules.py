"""Rules in words: "age between 0 and 120". Parsed strictly; nothing is ever executed."""

import operator
import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from lepton_ai.cleaning.columns import Array, Column, number
from lepton_ai.core import ConfigError, DataError

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
_NAME = r"(?P<name>'[^']+'|\"[^\"]+\"|[^\s<>=!'\"]+)"
_BETWEEN = re.compile(rf"{_NAME}\s+between\s+(?P<low>\S+)\s+and\s+(?P<high>\S+)")
_COMPARISON = re.compile(rf"{_NAME}\s*(?P<sign><=|<|>=|>|==|!=)\s*(?P<value>'[^']*'|\"[^\"]*\"|[^\s'\"]+)")
_AMONG = re.compile(rf"{_NAME}\s+in\s+(?P<values>[^()\[\]]+)")
_MATCHES = "'age between 0 and 120', 'price > 0', 'state != unknown' or 'colour in red, green, blue'"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What each value of a column must fulfil. Missing values fulfil every rule.

    Example:
        >>> from lepton_ai.cleaning.columns import parse
        >>> Rule.parse("age between 0 and 120").broken(parse("age", [31.0, -1.0, None, 121.0])).tolist()
        [False, True, False, True]
    """

    text: str
    column: str
    low: float | None = None
    high: float | None = None
    sign: str = ""
    value: str = ""
    among: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """The rule that a sentence states; a name with spaces stands in quotes.

        Raises: ConfigError for any other sentence, bounds that are no finite numbers, or a low above its high.
        """
        text = text.strip()
        if found := _BETWEEN.fullmatch(text):
            low, high = (number(found[each]) for each in ("low", "high"))
            if low is None or high is None or not np.isfinite([low, high]).all() or low > high:
                raise ConfigError(
                    f"rule {text!r}", expected="two numbers, the lower one first", fix=f"Write {_MATCHES}."
                )
            return cls(text=text, column=_bare(found["name"]), low=low, high=high)
        if found := _COMPARISON.fullmatch(text):
            value, sign = _bare(found["value"]), found["sign"]
            if sign in ("<", "<=", ">", ">=") and (number(value) is None or not np.isfinite(float(value))):
                raise ConfigError(f"rule {text!r}", expected=f"a number after {sign}", fix=f"Write {_MATCHES}.")
            return cls(text=text, column=_bare(found["name"]), sign=sign, value=value)
        if found := _AMONG.fullmatch(text):
            values = tuple(_bare(value.strip()) for value in found["values"].split(","))
            if all(values):
                return cls(text=text, column=_bare(found["name"]), among=values)
        raise ConfigError(f"a rule that cannot be read, {text!r}", fix=f"Write {_MATCHES}.")

    def broken(self, column: Column) -> Array:
        """Where (N,) a value breaks the rule.

        Raises: DataError for a comparison of sizes with a column of texts or dates.
        """
        sized = self.low is not None or self.sign in ("<", "<=", ">", ">=")
        if sized and column.kind != "number":
            raise DataError(f"the rule {self.text!r} is about numbers, but {column.name!r} holds {column.kind}s")
        if self.low is not None and self.high is not None:
            good = (column.values >= self.low) & (column.values <= self.high)
        elif self.sign:
            good = _COMPARE[self.sign](column.values, _like(self.value, column))
        else:
            wanted = {_like(each, column) for each in self.among}
            good = np.array([value in wanted for value in column.values.tolist()])
        return np.asarray(column.known & ~np.asarray(good, bool))


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _like(text: str, column: Column) -> Any:
    if column.kind == "text":
        return text
    found = number(text)
    return np.nan if found is None else found
