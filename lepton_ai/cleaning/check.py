"""What a check is, and what it is given: a table or images, with what to hold them against."""

import abc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import ClassVar, Generic, Literal, TypeVar

import msgspec
import numpy as np

from lepton_ai.cleaning.columns import Array, Column
from lepton_ai.cleaning.findings import Finding
from lepton_ai.cleaning.records import Records
from lepton_ai.cleaning.rules import Rule
from lepton_ai.core import Registry
from lepton_ai.rng import derive, permutation

Problem = Literal["classification", "regression"]
S = TypeVar("S")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is looked at. Checks that compare rows with rows, or train models, take at most `sample` rows, drawn
    by `seed`, and say so. `now` (seconds since 1970) is what dates must not lie behind; by default the clock."""

    sample: int = 30_000
    seed: int = 0
    now: float = msgspec.field(default_factory=lambda: datetime.now(UTC).timestamp())


class TableSubject:
    """A table under examination. `against` is other data that must be apart from it, such as the test part."""

    def __init__(
        self,
        records: Records,
        *,
        target: str | None = None,
        against: Records | None = None,
        group: str | None = None,
        time: str | None = None,
        rules: Sequence[Rule] = (),
        limits: Limits,
    ) -> None:
        for kind, name in (("target column", target), ("group column", group), ("time column", time)):
            if name is not None:
                records.column(name, kind)
        for rule in rules:
            records.column(rule.column, "column of a rule")
        self.records, self.target, self.group, self.time = records, target, group, time
        self.against = None if against is None else against.like(records)
        self.against_as_it_came = against
        self.rules, self.limits = tuple(rules), limits

    @property
    def rows(self) -> int:
        return len(self.records)

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """All columns but the target."""
        return tuple(column for column in self.records.columns.values() if column.name != self.target)

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Columns that name rows."""
        return frozenset(column.name for column in self.features if column.identifier)

    @cached_property
    def content(self) -> tuple[str, ...]:
        """The names of the features that say something: no identifiers, none that is empty."""
        return tuple(c.name for c in self.features if c.name not in self.identifiers and len(c.present))

    @property
    def goal(self) -> Column | None:
        return None if self.target is None else self.records[self.target]

    @cached_property
    def problem(self) -> Problem | None:
        """Whether the target's values are classes or amounts."""
        goal = self.goal
        if goal is None or not len(goal.present):
            return None
        few = len(goal.codes[1]) <= max(2, min(20, len(goal.present) // 5))
        return "classification" if goal.kind == "text" or (goal.whole and few) else "regression"

    def sample(self, rows: Array | None = None) -> Array:
        """At most `limits.sample` of `rows` (all), sorted."""
        rows = np.arange(self.rows) if rows is None else rows
        return drawn(rows, self.limits)

    def scope(self, looked_at: int | None = None) -> str:
        """In words, how much of the rows was looked at."""
        looked_at = min(self.rows, self.limits.sample) if looked_at is None else looked_at
        return "all rows" if looked_at >= self.rows else f"a sample of {looked_at:,} of {self.rows:,} rows"


def drawn(rows: Array, limits: Limits) -> Array:
    """At most `limits.sample` of `rows`, the same ones each time, in their order."""
    if len(rows) <= limits.sample:
        return rows
    order = permutation(derive(limits.seed, "cleaning"), 0, len(rows))
    return np.sort(rows[np.asarray(order[: limits.sample])])


class Check(abc.ABC, Generic[S]):
    """One thing to look for. `about` says what, in a few words; `sampled` that it looks at a sample of large data."""

    name: ClassVar[str]
    about: ClassVar[str]
    sampled: ClassVar[bool] = False

    def why_not(self, subject: S) -> str:
        """Why the check cannot be made of this subject; empty if it can."""
        return ""

    @abc.abstractmethod
    def run(self, subject: S) -> Iterator[Finding]:
        """The findings, in any order."""


def registry(kind: str, classes: Sequence[type[Check[S]]]) -> Registry[Check[S]]:
    """The checks by name."""
    found: Registry[Check[S]] = Registry(kind)
    for each in classes:
        found.add(each.name, each())
    return found


def listed(mask: Array) -> tuple[int, ...]:
    """The rows that a mask marks."""
    return tuple(np.nonzero(mask)[0].tolist())
