"""Checks of what training and test data share: rows, nearly equal rows, groups, and time."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject, drawn
from lepton_ai.cleaning.columns import Column
from lepton_ai.cleaning.duplicates import groups_of
from lepton_ai.cleaning.findings import Finding, many
from lepton_ai.cleaning.learners import pairs_within
from lepton_ai.cleaning.neighbours import radius, same_texts, standardised
from lepton_ai.cleaning.records import Records, row_hashes
from lepton_ai.web import count, percent, significant

_REMEDY = "remove the rows here, not in the test: what was seen in training tells nothing there"


class _AgainstOther(Check[TableSubject]):
    """A check that needs other data."""

    def why_not(self, subject: TableSubject) -> str:
        return "" if subject.against is not None else "no other data is given"


def _shared(subject: TableSubject) -> list[str]:
    assert subject.against is not None
    return [name for name in subject.content if name in subject.against]


class SharedRows(_AgainstOther):
    """Rows that stand in the other data as well, whatever their target."""

    name = "shared_rows"
    about = "rows that stand in the other data too"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        names = _shared(subject)
        if not names or subject.against is None:
            return
        there = row_hashes(subject.against, names)
        rows = np.nonzero(np.isin(row_hashes(subject.records, names), there))[0]
        if not len(rows):
            return
        theirs = int(np.isin(there, row_hashes(subject.records, names)).sum())
        # Where rows are coarse, equal ones in both parts are no copies: they are as frequent within one part.
        inside = sum(len(group) for group in groups_of(there)) / len(there)
        coarse = inside > 0.5
        yield Finding(
            check=self.name,
            severity="note" if coarse else "error",
            title="rows in both parts",
            rows=tuple(rows.tolist()),
            count=len(rows),
            action="drop rows",
            action_rows=tuple(rows.tolist()),
            safe=not coarse,
            remedy=_REMEDY,
            evidence=f"{many(len(rows), 'row')} here, equal to {count(theirs)} of {count(len(there))} rows "
            f"({percent(theirs / len(there))}) of the other data in all {len(names)} features, the first row {rows[0]}",
        )


class NearlySharedRows(_AgainstOther):
    """Rows that lie far closer to a row of the other data than rows lie to each other here."""

    name = "nearly_shared_rows"
    about = "rows that are almost equal to one of the other data"
    sampled = True

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        names = _shared(subject)
        if len(names) < 4 or subject.rows < 20 or subject.against is None:
            return
        rows = subject.sample()
        mine = subject.records.take(rows)
        other = subject.against.take(drawn(np.arange(len(subject.against)), subject.limits))
        own, theirs = _columns(mine, names), _columns(other, names)
        points = standardised(own)
        reach = radius(np.unique(points, axis=0))
        if reach <= 1e-9:
            return
        pairs = same_texts(pairs_within(points, standardised(theirs, own), reach), own, theirs)
        pairs = pairs[row_hashes(mine, names)[pairs[:, 0]] != row_hashes(other, names)[pairs[:, 1]]]
        close = rows[np.unique(pairs[:, 0])]
        if len(close):
            yield Finding(
                check=self.name,
                severity="warning",
                title="nearly equal rows in both parts",
                rows=tuple(close.tolist()),
                count=len(close),
                action="drop rows",
                action_rows=tuple(close.tolist()),
                evidence=f"{many(len(close), 'row')} almost equal to one of the other data, such as row "
                f"{rows[pairs[0, 0]]}",
                remedy=_REMEDY,
            )


class SharedGroups(_AgainstOther):
    """Groups, such as customers, with rows on both sides."""

    name = "shared_groups"
    about = "groups with rows in both parts"

    def why_not(self, subject: TableSubject) -> str:
        return super().why_not(subject) or ("" if subject.group else "no group column is named")

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        assert subject.against is not None and subject.group is not None
        column = subject.records[subject.group]
        there = subject.against.column(subject.group, "group column")
        mask = column.known & np.isin(column.hashes, there.hashes[there.known])
        rows = np.nonzero(mask)[0]
        if len(rows):
            groups = len(np.unique(column.hashes[rows]))
            yield Finding(
                check=self.name,
                severity="error",
                title="groups in both parts",
                columns=(column.name,),
                rows=tuple(rows.tolist()),
                count=groups,
                action="drop rows",
                action_rows=tuple(rows.tolist()),
                evidence=f"{many(groups, 'group')}, such as {column.show(int(rows[0]))!r}, with rows in both parts: "
                f"{count(len(rows))} of {count(subject.rows)} rows here",
                remedy="split anew by group (lepton_ai.data.split(..., groups=...)); clean removes their rows here",
            )


class TimeOverlap(_AgainstOther):
    """Rows that are not earlier than the other data begins: a model must not learn from its future."""

    name = "time_overlap"
    about = "rows from after the other data begins"

    def why_not(self, subject: TableSubject) -> str:
        return super().why_not(subject) or ("" if subject.time else "no time column is named")

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        assert subject.against is not None and subject.time is not None
        column, there = subject.records[subject.time], subject.against.column(subject.time, "time column")
        if column.kind == "text" or not len(there.finite):
            return
        begin = float(there.finite.min())
        with np.errstate(invalid="ignore"):
            rows = np.nonzero(column.known & (column.values >= begin))[0]
        if len(rows):
            yield Finding(
                check=self.name,
                severity="error",
                title="later than the test begins",
                columns=(column.name,),
                rows=tuple(rows.tolist()),
                count=len(rows),
                action="drop rows",
                action_rows=tuple(rows.tolist()),
                evidence=f"{count(len(rows))} of {count(subject.rows)} rows are not earlier than the other "
                f"data's first, "
                f"{_moment(begin, column)}",
                remedy="split anew by time (lepton_ai.data.split(..., time=...)); clean removes the rows here",
            )


def _columns(records: Records, names: list[str]) -> list[Column]:
    return [records[name] for name in names]


def _moment(value: float, column: Column) -> str:
    if column.kind != "date":
        return significant(value, 9)
    return datetime.fromtimestamp(value, UTC).isoformat(sep=" ").removesuffix("+00:00").removesuffix(" 00:00:00")
