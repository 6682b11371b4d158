"""The base of the schedules, and what they share: rates and lengths as arguments."""

from abc import abstractmethod

from lepton_ai.core import UsageError
from lepton_ai.training.component import Component, number, whole


class Schedule(Component):
    """A learning rate for each step."""

    @abstractmethod
    def __call__(self, step: int) -> float:
        """The rate of step `step`, the first being 0.

        Raises: UsageError if the schedule needs a length that is still open.
        """

    def bind(self, total_steps: int) -> "Schedule":
        """This schedule with every open length filled in for a run of `total_steps`."""
        return self

    def length(self, name: str) -> int:
        """The argument that holds a length.

        Raises: UsageError if it is still open.
        """
        value: int | None = getattr(self, name)
        if value is None:
            raise UsageError(
                "the length of the run is not known yet",
                at=f"{type(self).__name__}.{name}",
                fix=f"Pass {name}, or call bind(total_steps).",
            )
        return value


def rate(at: str, value: object) -> float:
    """A learning rate.

    Raises: ConfigError unless it is a number from 0 on.
    """
    return number(at, value, "[0, inf)")


def steps(at: str, value: object) -> int | None:
    """A length in steps; None is left open.

    Raises: ConfigError unless it is a positive int.
    """
    return None if value is None else whole(at, value, 1)
