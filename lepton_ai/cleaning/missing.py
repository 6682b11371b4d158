"""Checks of what is not there: gaps by column, by row, together, in the target, and codes that stand for gaps."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject, listed
from lepton_ai.cleaning.columns import Array, Column
from lepton_ai.cleaning.findings import Finding, many
from lepton_ai.web import count, percent, significant

SOME = 0.05  # share of gaps from which a column deserves a warning
MANY = 0.5  # a column (a row) with more than this share of gaps
WORDS = frozenset(
    {
        "?",
        "??",
        "-",
        "--",
        ".",
        "n.a.",
        "na",
        "n/a",
        "#n/a",
        "#na",
        "unknown",
        "unk",
        "missing",
        "none",
        "nil",
        "null",
        "not available",
        "not known",
        "tbd",
        "nan",
        "无",
        "未知",
        "k.a.",
    }
)
CODES = frozenset(sign * int("9" * digits) for digits in range(2, 9) for sign in (1, -1)) | {-9.0, -1.0}
FAR = 6.0  # robust standard deviations between a code and the other values


class MissingValues(Check[TableSubject]):
    """Gaps, column by column, those with the same gaps together; and columns without any value."""

    name = "missing_values"
    about = "gaps in each column"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        together: dict[bytes, list[Column]] = defaultdict(list)
        for column in subject.features:
            gone = int(column.missing.sum())
            if gone == subject.rows:
                yield Finding(
                    check=self.name,
                    severity="error",
                    title="column without a value",
                    columns=(column.name,),
                    count=gone,
                    evidence="no row has a value",
                    action="drop columns",
                    safe=True,
                    remedy="remove the column: it holds nothing",
                )
            elif gone:
                together[np.packbits(column.missing).tobytes()].append(column)
        for columns in together.values():
            gone = int(columns[0].missing.sum())
            share = gone / subject.rows
            also = ""
            if len(columns) > 1:
                also = f"; these {len(columns)} columns are empty in exactly the same rows, as if for one reason"
            yield Finding(
                check=self.name,
                severity="error" if share > MANY else "warning" if share >= SOME else "note",
                title="missing values",
                columns=tuple(column.name for column in columns),
                rows=listed(columns[0].missing),
                count=gone,
                evidence=_gaps(columns[0].missing) + also,
                remedy="leave them: fill gaps inside the model, learnt from the training rows alone, as "
                "Normalization(missing='mean') does",
            )


class MissingTargets(Check[TableSubject]):
    """Rows whose target is not known."""

    name = "missing_target"
    about = "rows without a target"

    def why_not(self, subject: TableSubject) -> str:
        return "" if subject.goal is not None else "no target is named"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        goal = subject.goal
        assert goal is not None
        if goal.missing.any():
            rows = listed(goal.missing)
            yield Finding(
                check=self.name,
                severity="error",
                title="rows without a target",
                columns=(goal.name,),
                rows=rows,
                count=len(rows),
                evidence=_gaps(goal.missing),
                action="drop rows",
                action_rows=rows,
                safe=True,
                remedy="remove the rows: nothing can be learnt from them",
            )


class EmptyRows(Check[TableSubject]):
    """Rows most of whose values are missing."""

    name = "empty_rows"
    about = "rows that are mostly gaps"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        columns = [
            column for column in subject.features if len(column.present) and column.name not in subject.identifiers
        ]
        if len(columns) < 2:
            return
        share = np.mean([column.missing for column in columns], axis=0)
        for mask, title, severity in (
            (share == 1, "rows without a value", "error"),
            ((share > MANY) & (share < 1), "rows that are mostly gaps", "warning"),
        ):
            rows = listed(mask)
            if rows:
                words = "no value at all" if severity == "error" else f"more than half of {len(columns)} values missing"
                yield Finding(
                    check=self.name,
                    severity="error" if severity == "error" else "warning",
                    title=title,
                    rows=rows,
                    count=len(rows),
                    evidence=f"{many(len(rows), 'row')} with {words}, the first row {rows[0]}",
                    action="drop rows",
                    action_rows=rows,
                    safe=severity == "error",
                    remedy="remove the rows" + (": they say nothing" if severity == "error" else ""),
                )


class SentinelCodes(Check[TableSubject]):
    """Values that stand for a gap: 999 or -1 among ages, "?" or "unknown" among texts and numbers, a 0 far off."""

    name = "sentinel_codes"
    about = "codes that stand for a gap, such as -999 or ?"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in subject.features:
            if column.kind == "text":
                yield from self._words(column, ~column.missing)
            else:
                yield from self._words(column, column.odd)
            for code in sentinel_values(column):
                mask = column.values == code
                rest = column.finite[column.finite != code]
                zero = code == 0
                why = "" if not zero else ", all others being above 0"
                yield self._found(
                    column,
                    mask,
                    f"{significant(code, 9)} stands in {many(int(mask.sum()), 'row')}{why}; all other values lie "
                    f"between "
                    f"{significant(float(rest.min()), 4)} and {significant(float(rest.max()), 4)}",
                    safe=not zero and code != -1,
                )

    def _words(self, column: Column, where: Array) -> Iterator[Finding]:
        mask = where & np.array([str(value).strip().lower() in WORDS for value in column.raw])
        if mask.any():
            words = sorted({column.show(row).strip() for row in listed(mask)})
            text = ", ".join(map(repr, words[:4]))
            yield self._found(column, mask, f"{text} in {many(int(mask.sum()), 'row')}", safe=True)

    def _found(self, column: Column, mask: Array, evidence: str, *, safe: bool) -> Finding:
        rows = listed(mask)
        return Finding(
            check=self.name,
            severity="warning",
            title="codes for missing values",
            columns=(column.name,),
            rows=rows,
            count=len(rows),
            evidence=f"{evidence}, the first row {rows[0]}",
            action="set missing",
            action_rows=rows,
            safe=safe,
            remedy="leave the values empty, so that they count as missing and not as an amount",
        )


def sentinel_values(column: Column) -> tuple[float, ...]:
    """Codes such as -999 or 9999 among a column's numbers that lie far from all others, and a lone 0 or -1."""
    if column.kind != "number" or column.categorical:
        return ()
    values, counts = np.unique(column.finite, return_counts=True)
    candidates = [value for value in values.tolist() if value in CODES or value == 0]
    others = values[~np.isin(values, [code for code in candidates if abs(code) > 9])]
    codes = []
    for code in candidates:
        rest = others[others != code]
        if len(rest) < 10 or rest.min() < code < rest.max():
            continue
        times = int(counts[values == code][0])
        if code in (0, -1):
            # A 0 or a -1 is a value like others unless all others are well above it.
            if times >= 2 and rest.min() > 0.2 * np.median(rest) > 0 and rest.min() > 5 * np.median(np.diff(rest)):
                codes.append(code)
        elif code < 0 <= rest.min() or (
            _distance(code, column.finite[np.isin(column.finite, rest)]) > FAR and (times >= 2 or abs(code) >= 999)
        ):
            codes.append(code)
    return tuple(codes)


def _distance(value: float, rest: Array) -> float:
    middle = float(np.median(rest))
    spread = 1.4826 * float(np.median(np.abs(rest - middle))) or float(rest.std()) or 1.0
    # Nor does a long tail end in a code: the gap to the next value counts as well.
    gap = min(abs(value - float(rest.min())), abs(value - float(rest.max())))
    return min(abs(value - middle) / spread, 6 * gap / spread)


def _gaps(mask: Array) -> str:
    gone = int(mask.sum())
    share = percent(gone / len(mask))
    return f"{count(gone)} of {count(len(mask))} rows ({share}) have no value, the first row {mask.argmax()}"
