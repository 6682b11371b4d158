"""Checks of columns that say nothing, name rows, repeat each other, or hold values hardly anyone has."""

from collections.abc import Iterator

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject, listed
from lepton_ai.cleaning.findings import Finding
from lepton_ai.web import count, percent

NEAR = 0.995  # share of the most frequent value from which a column is nearly constant
RARE = 0.01  # share below which a category is rare


class ConstantColumns(Check[TableSubject]):
    """Columns with one value, or with hardly any other."""

    name = "constant"
    about = "columns with one value only, or nearly so"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in subject.features:
            codes, values = column.codes
            if not values or column.odd.any():
                continue
            most = int(column.counts.argmax())
            value = column.show(int((codes == most).argmax()))
            share = int(column.counts[most]) / len(column.present)
            if len(values) == 1:
                yield Finding(
                    check=self.name,
                    severity="note",
                    title="constant column",
                    columns=(column.name,),
                    count=len(column.present),
                    evidence=f"the only value is {value!r}",
                    action="drop columns",
                    safe=True,
                    remedy="remove the column: it tells no row from another",
                )
            elif share >= NEAR and subject.rows >= 200:
                rows = listed((codes >= 0) & (codes != most))
                yield Finding(
                    check=self.name,
                    severity="note",
                    title="nearly constant column",
                    columns=(column.name,),
                    rows=rows,
                    count=len(rows),
                    evidence=f"{value!r} in {percent(share, 2)} of rows, another value in {count(len(rows))}",
                    action="drop columns",
                    remedy="keep it unless the few other values mean nothing",
                )


class IdentifierColumns(Check[TableSubject]):
    """Columns that name rows: a model can only learn them by heart."""

    name = "identifiers"
    about = "columns that name rows instead of describing them"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in subject.features:
            if column.name in subject.identifiers:
                yield Finding(
                    check=self.name,
                    severity="note",
                    title="identifier",
                    columns=(column.name,),
                    count=len(column.codes[1]),
                    evidence=f"{count(len(column.codes[1]))} different values in {count(len(column.present))} "
                    f"rows, such as "
                    f"{column.show(int(column.known.argmax()))!r}",
                    action="drop columns",
                    remedy="train without it; clean removes it only when asked, as it serves to find rows again",
                )


class DuplicateColumns(Check[TableSubject]):
    """Columns that hold the same, under the same values or under others."""

    name = "duplicate_columns"
    about = "columns that repeat another"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        seen: dict[bytes, str] = {}
        for column in subject.features:
            if len(column.codes[1]) < 2 or column.name in subject.identifiers:
                continue
            # Numbered by first appearance, two columns agree if either can be told from the other.
            codes = np.where(column.odd, -2, column.codes[0])
            _, firsts, places = np.unique(codes, return_index=True, return_inverse=True)
            key = np.argsort(np.argsort(firsts))[places].astype(np.int32).tobytes()
            first = seen.setdefault(key, column.name)
            if first != column.name:
                yield Finding(
                    check=self.name,
                    severity="warning",
                    title="duplicate column",
                    columns=(column.name,),
                    count=len(column.present),
                    evidence=f"says the same as {first!r} in every row",
                    action="drop columns",
                    remedy=f"remove it and keep {first!r}",
                )


class RareValues(Check[TableSubject]):
    """Categories, written as texts or small whole numbers, that hardly any row has."""

    name = "rare_values"
    about = "categories that hardly any row has"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in subject.features:
            if not column.categorical or column.name in subject.identifiers or len(column.present) < 100:
                continue
            codes, values = column.codes
            rare = np.nonzero(column.counts < RARE * len(column.present))[0]
            if not len(rare) or len(values) < 3:
                continue
            rows = listed(np.isin(codes, rare))
            ordered = sorted(rare.tolist(), key=lambda code: int(column.counts[code]))
            shown = ", ".join(
                f"{column.show(int((codes == code).argmax()))!r} ({count(int(column.counts[code]))})"
                for code in ordered[:6]
            )
            yield Finding(
                check=self.name,
                severity="note",
                title="rare categories",
                columns=(column.name,),
                rows=rows,
                count=len(rows),
                evidence=f"{len(rare)} of {len(values)} values stand in less than 1 % of the rows each: {shown}"
                + (", ..." if len(rare) > 6 else ""),
                action="set missing",
                action_rows=rows,
                remedy="ask what they mean: codes that no document explains are errors or gaps; clean empties them",
            )
