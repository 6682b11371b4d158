"""Numbers as people read them, and round ticks for axes."""

import math
from itertools import pairwise

THIN = "\u202f"  # a narrow space that does not break: "98.4 %" stays together


def significant(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits, thousands grouped, no exponent between 0.0001 and a billion.

    Example:
        >>> significant(0.041237), significant(1234.5), significant(2.0), significant(0.00001234)
        ('0.0412', '1,234', '2', '1.23e-5')
    """
    if not math.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size >= 9:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    text = f"{value:,.{max(0, digits - 1 - size)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact(value: float) -> str:
    """`value` in at most five or so characters, for labels inside charts.

    Example:
        >>> compact(7), compact(9800), compact(12_345), compact(4_200_000)
        ('7', '9.8k', '12.3k', '4.2M')
    """
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if math.isfinite(value) and abs(value) >= unit:
            return f"{significant(value / unit)}{letter}"
    return significant(value)


def count(value: int) -> str:
    """A whole number with its thousands grouped: `1234567` to `"1,234,567"`."""
    return f"{value:,d}"


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage, with a narrow space that does not break. Only nothing is written as 0, only all as 100.

    Example:
        >>> [percent(share).replace(THIN, " ") for share in (0.984, 1.0, 0.99997, 0.0001)]
        ['98.4 %', '100.0 %', '> 99.9 %', '< 0.1 %']
    """
    if not math.isfinite(share):
        return "n/a"
    step = 10.0**-digits
    if 0 < 100 * share < step / 2:
        return f"< {step:.{digits}f}{THIN}%"
    if 100 - step / 2 < 100 * share < 100:
        return f"> {100 - step:.{digits}f}{THIN}%"
    return f"{100 * share:.{digits}f}{THIN}%"


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    Example:
        >>> [duration(s).replace(THIN, " ") for s in (0.00025, 0.0421, 3.14159, 75)]
        ['0.25 ms', '42.1 ms', '3.14 s', '1 min 15 s']
    """
    if not math.isfinite(seconds):
        return "n/a"
    if seconds < 1:
        return f"{significant(seconds * 1000)}{THIN}ms"
    if seconds < 59.95:
        return f"{significant(seconds)}{THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{THIN}min {rest}{THIN}s"
    return f"{minutes // 60}{THIN}h {minutes % 60}{THIN}min"


def ticks(low: float, high: float, *, about: int = 5, whole: bool = False) -> list[float]:
    """About so many round numbers (1, 2, 2.5 or 5 times a power of ten) whose ends enclose `low` and `high`.

    `whole` keeps them integers, as epochs and counts are.

    Example:
        >>> ticks(0.07, 0.93), ticks(1, 8, whole=True)
        ([0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 2.0, 4.0, 6.0, 8.0])
    """
    if high - low <= max(1e-12 * max(abs(low), abs(high)), 1e-200):  # equal, but for rounding
        margin = abs(low) * 0.5 or 1.0
        low, high = (low - margin, low + margin)
    rough = (high - low) / max(1, about - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    factors = (1, 2, 2.5, 5, 10) if not whole or power >= 10 else (1, 2, 5, 10)
    step = next(factor * power for factor in factors if factor * power >= rough * 0.999)
    if whole:
        step = max(1.0, step)
    # A hair of slack: 0.3 / 0.1 is 2.9999999999999996.
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [round(index * step, 12 - math.floor(math.log10(step))) for index in range(first, last + 1)]


def tick_labels(values: list[float]) -> list[str]:
    """Labels that share one number of decimals, so that an axis reads as a column.

    Example:
        >>> tick_labels([0.0, 0.25, 0.5]), tick_labels([0.0, 5000.0, 10000.0])
        (['0.00', '0.25', '0.50'], ['0', '5k', '10k'])
    """
    if not values:
        return []
    largest = max(abs(value) for value in values)
    step = min((b - a for a, b in pairwise(values)), default=largest or 1.0)
    if largest >= 1000 or largest < 0.01 or step < 1e-4:
        return [compact(value) for value in values]
    decimals = next(d for d in range(8) if math.isclose(step * 10**d, round(step * 10**d), abs_tol=1e-6))
    return [f"{value:.{decimals}f}" for value in values]
