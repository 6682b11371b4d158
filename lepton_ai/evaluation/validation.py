"""The result of cross-validation, and of choosing among several models by it."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from lepton_ai.evaluation.comparison import Comparison
from lepton_ai.evaluation.intervals import Interval, bootstrap_interval
from lepton_ai.evaluation.measures import Measure


class CrossValidation:
    """Answers to rows that the model had not seen.

    `answers` and `targets` are those of all rows held out, in the order of the data; `rows` says which rows they are
    and `parts` in which fold each was held out.
    """

    def __init__(
        self,
        measure: Measure,
        *,
        rows: npt.NDArray[np.int64],
        parts: npt.NDArray[np.int64],
        answers: npt.NDArray[Any],
        targets: npt.NDArray[Any],
    ) -> None:
        self.measure = measure
        self.rows, self.parts, self.answers, self.targets = rows, parts, answers, targets

    @cached_property
    def scores(self) -> tuple[float, ...]:
        """The measure in each fold."""
        return tuple(
            self.measure(self.answers[self.parts == part], self.targets[self.parts == part])
            for part in np.unique(self.parts)
        )

    @property
    def mean(self) -> float:
        """The mean over folds."""
        return float(np.mean(self.scores))

    @property
    def spread(self) -> float:
        """The standard deviation over folds."""
        return float(np.std(self.scores, ddof=1))

    @cached_property
    def interval(self) -> Interval:
        """Of the mean, at 95 %: a bootstrap over the rows.

        It holds for these trained models and rows of this kind; the folds' models share training rows, so it says
        less about training again on other data (Bengio and Grandvalet, 2004).
        """
        return bootstrap_interval(
            lambda answers, targets, parts: float(
                np.mean([self.measure(answers[parts == p], targets[parts == p]) for p in np.unique(parts)])
            ),
            self.answers,
            self.targets,
            self.parts,
        )

    def __repr__(self) -> str:
        found = f"{self.measure.name} {self.mean:.4f}, 95 % {self.interval.low:.4f} to {self.interval.high:.4f}"
        return f"CrossValidation({found}, {len(self.scores)} folds)"


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One of the models that were compared, and how it stands against the best; None for the best itself."""

    name: str
    result: CrossValidation
    against_best: Comparison | None = None
    p_adjusted: float | None = None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Candidates, the best first. `best` is the name of the model to take.

    `tied` are those whose distance from the best may be chance: of them, take the cheapest to run.
    """

    measure: str
    best: str
    candidates: tuple[Candidate, ...]

    @property
    def tied(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.candidates if each.p_adjusted is not None and each.p_adjusted >= 0.05)

    def table(self) -> str:
        """A line for each candidate, for the terminal."""
        lines = [("model", self.measure, "95 % interval", "folds", "p against the best")]
        for each in self.candidates:
            low, high = each.result.interval.low, each.result.interval.high
            p = "" if each.p_adjusted is None else f"{each.p_adjusted:.3g}"
            spread = f"± {each.result.spread:.4f}"
            lines.append((each.name, f"{each.result.mean:.4f}", f"{low:.4f} to {high:.4f}", spread, p))
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        return "\n".join(_row(line, widths) for line in lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
