"""Checks of rows that stand there twice: wholly, but for the label, or nearly."""

from collections.abc import Iterator

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject
from lepton_ai.cleaning.columns import Array
from lepton_ai.cleaning.findings import Finding, many
from lepton_ai.cleaning.missing import MANY
from lepton_ai.cleaning.neighbours import close_pairs, differing_in_one, joined
from lepton_ai.cleaning.records import row_hashes
from lepton_ai.web import count, percent


class DuplicateRows(Check[TableSubject]):
    """Rows that are equal in all columns, or in all but those that only name the row."""

    name = "duplicate_rows"
    about = "rows that are equal in every column"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        names = list(subject.records.columns)
        whole = groups_of(row_hashes(subject.records, names))
        if len(whole):
            yield self._found(whole, subject, "in every column", safe=True)
        rest = [name for name in names if name not in subject.identifiers]
        if len(rest) < len(names) and len(rest) > 1:
            known = {tuple(group) for group in map(np.ndarray.tolist, whole)}
            apart = [g for g in groups_of(row_hashes(subject.records, rest)) if tuple(g.tolist()) not in known]
            if apart:
                but = ", ".join(sorted(subject.identifiers))
                yield self._found(apart, subject, f"in every column but {but}", safe=False)

    def _found(self, groups: list[Array], subject: TableSubject, where: str, *, safe: bool) -> Finding:
        later = np.sort(np.concatenate([group[1:] for group in groups]))
        most = max(groups, key=len)
        # Where rows repeat all the time, the columns are few and coarse, and equal rows are no copies.
        coarse = len(later) > 0.5 * subject.rows
        return Finding(
            check=self.name,
            severity="note" if coarse else "warning",
            title="duplicate rows",
            count=len(later),
            rows=tuple(np.sort(np.concatenate(groups)).tolist()),
            evidence=f"{many(len(later), 'row', 'equal')} an earlier one ({percent(len(later) / subject.rows)}) "
            f"{where}, such as "
            f"rows {most[0]} and {most[1]}; the most frequent row stands there {count(len(most))} times"
            + (". With so few distinct rows they may well be no copies" if coarse else ""),
            action="drop rows",
            action_rows=tuple(later.tolist()),
            safe=safe and not coarse,
            remedy="keep the first of each and remove the later ones: copies count twice, and leak from training "
            "to test "
            "when split",
        )


class ConflictingLabels(Check[TableSubject]):
    """Rows that are equal in all features but have different targets."""

    name = "conflicting_labels"
    about = "rows that are equal but for their label"

    def why_not(self, subject: TableSubject) -> str:
        return "" if subject.goal is not None and subject.content else "no target is named"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        goal = subject.goal
        assert goal is not None
        codes = goal.codes[0]
        groups = [
            group[codes[group] >= 0]
            for group in groups_of(row_hashes(subject.records, subject.content))
            if len(np.unique(codes[group][codes[group] >= 0])) > 1
        ]
        if not groups:
            return
        rows = np.sort(np.concatenate(groups))
        first = min(groups, key=lambda group: int(group[0]))
        one, other = first[0], first[codes[first] != codes[first[0]]][0]
        share = len(rows) / subject.rows
        yield Finding(
            check=self.name,
            severity="error" if share < 0.2 else "warning",
            title="conflicting labels",
            count=len(rows),
            columns=(goal.name,),
            rows=tuple(rows.tolist()),
            action="drop rows",
            action_rows=tuple(rows.tolist()),
            evidence=f"{many(len(rows), 'row')} in {many(len(groups), 'group')} have equal features and different "
            f"targets: row "
            f"{one} has {goal.show(one)}, row {other} has {goal.show(other)}",
            remedy="look at them: one of the labels is wrong, or the features cannot tell; clean "
            "removes all of "
            "these rows",
        )


class NearDuplicateRows(Check[TableSubject]):
    """Rows that are far closer to each other than rows are here, or that differ in one column only though they agree
    in values that are rare."""

    name = "near_duplicate_rows"
    about = "rows that are almost equal"
    sampled = True

    def why_not(self, subject: TableSubject) -> str:
        return "" if len(subject.content) >= 4 and subject.rows >= 20 else "needs 4 columns and 20 rows"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        gaps = np.mean([subject.records[name].missing for name in subject.content], axis=0)
        rows = subject.sample(np.nonzero(gaps <= MANY)[0])  # rows of gaps are alike in nothing but these
        if len(rows) < 20:
            return
        records = subject.records if len(rows) == subject.rows else subject.records.take(rows)
        pairs = np.concatenate([close_pairs(records, subject.content)[0], differing_in_one(records, subject.content)])
        hashes = row_hashes(records, subject.content)
        pairs = pairs[hashes[pairs[:, 0]] != hashes[pairs[:, 1]]]
        groups = [rows[group] for group in joined(pairs, len(rows))]
        if not groups:
            return
        later = np.sort(np.concatenate([group[1:] for group in groups]))
        one, other = rows[pairs[0]]
        yield Finding(
            check=self.name,
            severity="warning",
            title="near duplicates",
            count=len(later),
            rows=tuple(np.sort(np.concatenate(groups)).tolist()),
            action="drop rows",
            action_rows=tuple(later.tolist()),
            evidence=f"{many(len(later), 'row')} almost {'equals' if len(later) == 1 else 'equal'} an earlier "
            f"one: rows {one} and {other} "
            f"{_difference(subject, int(one), int(other))}",
            remedy="look at them; clean keeps the first of each group",
        )


def groups_of(hashes: Array) -> list[Array]:
    """The rows of each hash that occurs more than once, each group sorted."""
    order = np.argsort(hashes, kind="stable")
    cuts = np.nonzero(np.diff(hashes[order]))[0] + 1
    return [group for group in np.split(order, cuts) if len(group) > 1]


def _difference(subject: TableSubject, one: int, other: int) -> str:
    columns = [subject.records[name] for name in subject.content]
    apart = [column for column in columns if column.hashes[one] != column.hashes[other]]
    shown = "; ".join(f"{column.name}: {column.show(one)}, {column.show(other)}" for column in apart[:3])
    return f"differ in {len(apart)} of {len(columns)} columns ({shown}{'; ...' if len(apart) > 3 else ''})"
