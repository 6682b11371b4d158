"""Checks of what kind a value is: texts among numbers, broken encodings, spellings, drift against other data."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject, listed
from lepton_ai.cleaning.columns import Column, number
from lepton_ai.cleaning.findings import Finding, many
from lepton_ai.cleaning.missing import WORDS
from lepton_ai.web import count

_DRESSED = re.compile(r"[\s$€£¥]*([+-]?[\d.,' \u202f\u00a0]*\d)\s*(%|[a-zA-Zµ°²³/€$£¥]{0,8})\.?\s*")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[,' \u202f\u00a0]\d{3})+(?:\.\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_BROKEN = re.compile(
    "[\u00c2-\u00f4][\u0080-\u00bf\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc]"
)


class WrongTypes(Check[TableSubject]):
    """Texts in a column of numbers, numbers kept as texts, values of several types, lines of another length."""

    name = "wrong_types"
    about = "values of another type than their column"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        ragged = subject.records.ragged
        if ragged:
            yield Finding(
                check=self.name,
                severity="error",
                title="lines of another length",
                rows=ragged,
                count=len(ragged),
                evidence=f"{many(len(ragged), 'line')} of more or fewer values than there are columns, the "
                f"first row {ragged[0]}",
                action="drop rows",
                action_rows=ragged,
                safe=True,
                remedy="remove the rows: their values may stand in wrong columns",
            )
        for column in subject.records.columns.values():
            if column.kind == "number" and column.odd.any():
                yield from self._odd(column)
            if subject.records.typed and column.raw.dtype == object:
                yield from self._types(column)

    def _odd(self, column: Column) -> Iterator[Finding]:
        texts = {row: column.show(row) for row in listed(column.odd)}
        texts = {row: text for row, text in texts.items() if text.strip().lower() not in WORDS}
        if not texts:
            return
        plain = {text: undressed(text) for text in set(texts.values())}
        read = {text: value for text, value in plain.items() if value is not None}
        shown = ", ".join(repr(text) for text in list(dict.fromkeys(texts.values()))[:3])
        rows = tuple(texts)
        for action, chosen, remedy in (
            ("replace", tuple(row for row in rows if texts[row] in read), "write the number alone"),
            ("set missing", tuple(row for row in rows if texts[row] not in read), "empty what is no number"),
        ):
            if chosen:
                shown = ", ".join(repr(text) for text in list(dict.fromkeys(texts[row] for row in chosen))[:3])
                yield Finding(
                    check=self.name,
                    severity="error",
                    title="texts among numbers",
                    columns=(column.name,),
                    rows=chosen,
                    count=len(chosen),
                    action="replace" if action == "replace" else "set missing",
                    action_rows=chosen,
                    safe=True,
                    evidence=f"{count(len(chosen))} of {count(int((~column.missing).sum()))} values: texts "
                    f"among numbers, such "
                    f"as {shown}, the first in row {chosen[0]}",
                    remedy=remedy,
                    replacements=read if action == "replace" else {},
                )

    def _types(self, column: Column) -> Iterator[Finding]:
        kinds = Counter(
            type(value).__name__ for value, gone in zip(column.raw, column.missing, strict=True) if not gone
        )
        if column.kind == "number" and set(kinds) == {"str"} and not column.odd.any():
            yield Finding(
                check=self.name,
                severity="warning",
                title="numbers kept as text",
                columns=(column.name,),
                count=kinds["str"],
                evidence=f"all {count(kinds['str'])} values are numbers written as text",
                rows=(),
                remedy="convert the column: frame[name].astype(float)",
            )
        elif len(kinds) > 1 and not set(kinds) <= {"int", "float", "bool", "float64", "int64", "Decimal"}:
            few = kinds.most_common()[-1][0]
            mask = [
                not gone and type(value).__name__ == few for value, gone in zip(column.raw, column.missing, strict=True)
            ]
            shown = ", ".join(f"{count(times)} of type {kind}" for kind, times in kinds.most_common(4))
            yield Finding(
                check=self.name,
                severity="warning",
                title="mixed types",
                columns=(column.name,),
                rows=listed(np.array(mask)),
                count=kinds[few],
                evidence=shown,
                remedy="bring them to one type where the data comes from",
            )


class BrokenText(Check[TableSubject]):
    """Texts that went through a wrong encoding ("cafÃ©" for "café"), or lost letters to it."""

    name = "broken_text"
    about = "texts damaged by a wrong encoding"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in subject.records.columns.values():
            if column.kind == "number" and not column.odd.any():
                continue
            repaired = {text: better for text in _texts(column) if (better := repair(text)) is not None}
            rows = tuple(row for row, value in enumerate(column.raw) if isinstance(value, str) and value in repaired)
            if rows:
                before = column.show(rows[0])
                yield Finding(
                    check=self.name,
                    severity="warning",
                    title="wrong encoding",
                    columns=(column.name,),
                    rows=rows,
                    count=len(rows),
                    evidence=f"{many(len(rows), 'value')} came through a wrong encoding, such as {before!r} for "
                    f"{repaired[before]!r} in row {rows[0]}",
                    action="replace",
                    action_rows=rows,
                    replacements=repaired,
                    safe=True,
                    remedy="write what was meant",
                )
            lost = tuple(row for row, value in enumerate(column.raw) if isinstance(value, str) and "\ufffd" in value)
            if lost:
                yield Finding(
                    check=self.name,
                    severity="error",
                    title="letters lost",
                    columns=(column.name,),
                    rows=lost,
                    count=len(lost),
                    evidence=f"{many(len(lost), 'value')} with bytes that are no text in the encoding read, such as "
                    f"{column.show(lost[0])!r} in row {lost[0]}",
                    remedy="read the file in its own encoding, often latin-1 or gb18030; the letters cannot be "
                    "told from here",
                )


class Spellings(Check[TableSubject]):
    """Categories that differ in nothing but case and spaces."""

    name = "spellings"
    about = "one category spelt in several ways"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in subject.records.columns.values():
            if column.kind != "text" or not (column.categorical or column.name == subject.target):
                continue
            forms: dict[str, Counter[str]] = defaultdict(Counter)
            for value in column.present:
                forms[" ".join(value.split()).casefold()][value] += 1
            wrong = {
                text: _best(counter)
                for counter in forms.values()
                if len(counter) > 1
                for text in counter
                if text != _best(counter)
            }
            if wrong:
                rows = tuple(row for row, value in enumerate(column.raw) if isinstance(value, str) and value in wrong)
                text = next(iter(wrong))
                yield Finding(
                    check=self.name,
                    severity="warning",
                    title="several spellings",
                    columns=(column.name,),
                    rows=rows,
                    count=len(rows),
                    action="replace",
                    action_rows=rows,
                    replacements=wrong,
                    safe=True,
                    evidence=f"{many(len(rows), 'value')} in another spelling than most, such as {text!r} for "
                    f"{wrong[text]!r}, the "
                    f"first in row {rows[0]}",
                    remedy="write the most frequent spelling",
                )


class DriftedColumns(Check[TableSubject]):
    """Columns that the other data lacks, has beside, or holds as another kind; categories that only it has."""

    name = "drifted_columns"
    about = "columns that differ in kind from the other data"

    def why_not(self, subject: TableSubject) -> str:
        return "" if subject.against is not None else "no other data is given"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        other = subject.against_as_it_came
        assert other is not None
        own = subject.records.columns
        for names, what in (
            ([name for name in own if name not in other and name != subject.target], "the other data lacks it"),
            ([name for name in other.columns if name not in own], "only the other data has it"),
        ):
            for name in names:
                yield self._found(name, what, 1)
        for name, column in own.items():
            if name not in other:
                continue
            there = other[name]
            if there.kind != column.kind and len(there.present) and len(column.present):
                shown = there.show(int((~there.missing).argmax()))
                yield self._found(name, f"{column.kind}s here, {there.kind}s in the other data, such as {shown!r}", 1)
            elif column.kind == "text" and column.categorical:
                new = sorted(set(there.present.tolist()) - set(column.present.tolist()))
                if new:
                    yield self._found(
                        name,
                        f"the other data has categories that are not here: {', '.join(map(repr, new[:4]))}",
                        len(new),
                    )

    def _found(self, name: str, evidence: str, number: int) -> Finding:
        return Finding(
            check=self.name,
            severity="error",
            title="drifted column",
            columns=(name,),
            count=number,
            evidence=evidence,
            remedy="bring both to one form where they come from: a model sees the other data as this one",
        )


def undressed(text: str) -> str | None:
    """The number that a text shows beside a currency, a unit or separators; None if it is not sure which.

    Example:
        >>> undressed("$1,234.50"), undressed("12 kg"), undressed("3,5"), undressed("1,234"), undressed("about 4")
        ('1234.50', '12', '3.5', '1234', None)
    """
    found = _DRESSED.fullmatch(text)
    if found is None or found[2] == "%":  # per cent of what scale?
        return None
    digits = found[1].strip()
    if _GROUPED.fullmatch(digits):
        digits = re.sub(r"[,' \u202f\u00a0]", "", digits)
    elif _COMMA.fullmatch(digits):
        digits = digits.replace(",", ".")
    return digits if number(digits) is not None else None


def repair(text: str) -> str | None:
    """What was meant by UTF-8 that was read as Windows-1252 or Latin-1; None for a text that was not.

    Example:
        >>> repair("cafÃ©"), repair("café"), repair("SÃO PAULO")
        ('café', None, None)
    """
    if _BROKEN.search(text) is None:
        return None
    for encoding in ("cp1252", "latin-1"):
        try:
            better = text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
        return better if better != text else None
    return None


def _texts(column: Column) -> set[str]:
    return {value for value in column.raw if isinstance(value, str)}


def _best(counter: Counter[str]) -> str:
    return max(counter, key=lambda text: (counter[text], text == text.strip(), text))
