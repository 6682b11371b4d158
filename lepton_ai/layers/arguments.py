"""Checks that many constructors share; each returns the value it accepted."""

from lepton_ai.core import ConfigError, unknown_name


def positive_int(at: str, value: object, fix: str = "") -> int:
    """An int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(at=at, got=value, expected="a positive int", fix=fix)
    return value


def sizes(at: str, value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    """One positive int for all `rank` dimensions, or one each."""
    several = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
    if len(several) != rank:
        raise ConfigError(at=at, got=value, expected=f"an int or {rank} of them")
    return tuple(positive_int(at, each) for each in several)


def fraction(at: str, value: float) -> float:
    """A number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ConfigError(at=at, got=value, expected="a number from 0 to below 1")
    return float(value)


def one_of(at: str, value: str, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    if value not in choices:
        raise unknown_name(at.rpartition(".")[2], value, list(choices), at=at)
    return value


def channels_last(at: str, value: str | None) -> None:
    """Our layout is the only one: a foreign one is refused, not ignored."""
    if value not in (None, "channels_last"):
        raise ConfigError(
            at=at,
            got=value,
            expected='"channels_last"',
            fix="Move the channels to the last axis: x.permute(0, 2, 3, 1).",
        )
