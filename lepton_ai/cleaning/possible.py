"""Checks of values that cannot be: infinite, out of a column's own pattern, dates that are none, rules broken."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject, listed
from lepton_ai.cleaning.columns import Array, Column
from lepton_ai.cleaning.findings import Action, Finding, Severity
from lepton_ai.cleaning.missing import WORDS, sentinel_values
from lepton_ai.web import count, significant

FEW = 0.005  # of a column's values at most may break its own pattern; more are a pattern themselves
LEAST = 50  # values needed before a column has a pattern
OLDEST_AGE = 125.0
NEVER_NEGATIVE = re.compile(
    r"(^|[^a-z])(age|count|number|num|n|quantity|qty|year|height|weight|length|width|duration|distance|area|size|price)s?([^a-z]|$)",
    re.IGNORECASE,
)
AGE = re.compile(r"(^|[^a-z])ages?([^a-z]|$)", re.IGNORECASE)


class ImpossibleValues(Check[TableSubject]):
    """Infinite numbers; negative ones where, by its name or its other values, a column has none; fractions among whole
    numbers; ages beyond 125; dates that do not parse, lie in the future, or before 1900."""

    name = "impossible_values"
    about = "values that cannot be, by the column's name or its own pattern"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in subject.records.columns.values():
            if column.kind == "number":
                yield from self._numbers(column)
            elif column.kind == "date":
                yield from self._dates(column, subject.limits.now)

    def _numbers(self, column: Column) -> Iterator[Finding]:
        values = column.values
        infinite = column.known & ~column.bounded
        if infinite.any():
            yield _found(self.name, column, infinite, "infinite, or as good as", "error", safe=True)
        usual = column.bounded & ~np.isin(values, np.array(sentinel_values(column)))
        negative = usual & (values < 0)
        few = FEW * max(1, int(usual.sum())) if usual.sum() >= LEAST else 0.0
        named = NEVER_NEGATIVE.search(_words(column.name)) is not None
        if negative.any() and (
            negative.sum() <= max(few, 1 if usual.sum() >= LEAST else 0) or (named and negative.mean() <= 0.05)
        ):
            yield _found(
                self.name, column, negative, "below 0, as no others are", "error" if named else "warning", safe=named
            )
        broken = usual & (values != np.rint(values))
        if broken.any() and broken.sum() <= few:
            yield _found(self.name, column, broken, "fractions among whole numbers", "note")
        old = usual & (values > OLDEST_AGE)
        if old.any() and old.mean() <= 0.05 and AGE.search(_words(column.name)):
            yield _found(self.name, column, old, "ages beyond 125", "error", safe=True)

    def _dates(self, column: Column, now: float) -> Iterator[Finding]:
        unread = column.odd & ~np.array([str(value).strip().lower() in WORDS for value in column.raw])
        if unread.any():
            yield _found(self.name, column, unread, "no dates", "error", safe=True)
        with np.errstate(invalid="ignore"):
            ahead, old = column.values > now, column.values < datetime(1900, 1, 1, tzinfo=UTC).timestamp()
        if ahead.any() and ahead.mean() < 0.5:
            yield _found(self.name, column, ahead, "in the future", "warning")
        if old.any() and old.mean() < 0.5:
            yield _found(self.name, column, old, "before 1900", "warning")


class BrokenRules(Check[TableSubject]):
    """Values that break a rule the user stated."""

    name = "broken_rules"
    about = "values that break a stated rule"

    def why_not(self, subject: TableSubject) -> str:
        return "" if subject.rules else "no rule is stated"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for rule in subject.rules:
            column = subject.records[rule.column]
            mask = rule.broken(column)
            if mask.any():
                goal = rule.column == subject.target
                yield _found(
                    self.name,
                    column,
                    mask,
                    f"against the rule “{rule.text}”",
                    "error",
                    safe=True,
                    action="drop rows" if goal else "set missing",
                )


def _found(
    check: str,
    column: Column,
    mask: Array,
    what: str,
    severity: Severity,
    *,
    safe: bool = False,
    action: Action = "set missing",
) -> Finding:
    rows = listed(mask)
    shown = ", ".join(column.show(row) for row in rows[:3])
    numbers = column.values[mask]
    if column.kind == "number" and len(rows) > 3 and np.isfinite(numbers).all():
        shown = f"from {significant(float(numbers.min()), 4)} to {significant(float(numbers.max()), 4)}"
    elif len(rows) > 3:
        shown += ", ..."
    remedy = "remove the rows" if action == "drop rows" else "empty the values, so that they count as missing"
    return Finding(
        check=check,
        severity=severity,
        title="impossible values",
        columns=(column.name,),
        rows=rows,
        count=len(rows),
        evidence=f"{count(len(rows))} {'value is' if len(rows) == 1 else 'values are'} {what} ({shown}), the "
        f"first in row {rows[0]}",
        action=action,
        action_rows=rows,
        safe=safe,
        remedy=remedy,
    )


def _words(name: str) -> str:
    """A name in words, for what is looked for in it: `"ageAtDeath"` as `"age at death"`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)
