"""`clean`: what an examination found, put right where that is safe or asked for; and a record of each change."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lepton_ai.cleaning.columns import Array, Column, parse
from lepton_ai.cleaning.findings import Change, Examination, Finding
from lepton_ai.cleaning.images import ImageSubject
from lepton_ai.cleaning.reading import read_records
from lepton_ai.cleaning.records import Records
from lepton_ai.core import UsageError, atomic_directory, unknown_name, write_atomic
from lepton_ai.data import Table


class _Plan:
    """Edits by column and row (None empties), rows and columns to go, and the changes that these are."""

    def __init__(self) -> None:
        self.edits: dict[str, dict[int, str | None]] = {}
        self.rows: set[int] = set()
        self.columns: set[str] = set()
        self.changes: list[Change] = []

    def kept(self, rows: int) -> Array:
        keep = np.ones(rows, bool)
        keep[sorted(self.rows)] = False
        return np.nonzero(keep)[0]


def clean(
    data: Any, found: Examination, *, fix: Sequence[str] = (), skip: Sequence[str] = ()
) -> tuple[Any, tuple[Change, ...]]:
    """`data` without what `found` says is wrong, and every change that this took; `data` itself stays as it is.

    Done are the remedies of findings that are `safe`, and those of the checks named in `fix`; not those in `skip`.
    Gaps are not filled: that belongs into the model, learnt from the training rows alone. A data frame gives a data
    frame, a `Table` a `Table`, an array an array, a pair (x, y) a pair, a mapping a mapping of arrays, a CSV path
    `Records`, and a folder of images the tuple of paths that stay.

    Raises: UsageError unless `found` is of this data; UnknownNameError for a check that found nothing.

    Example:
        >>> from lepton_ai.cleaning import examine
        >>> ages = {"age": ["31", "28 years", "31", "40", "52"], "town": ["Graz", "Wien", "Graz", "Linz", "Wels"]}
        >>> cleaned, changes = clean(ages, examine(ages))
        >>> cleaned["age"].tolist()
        ['31', '28', '40', '52']
        >>> for change in changes:
        ...     print(change.check, change.action, change.row, change.column, change.before, change.after)
        wrong_types replace 1 age 28 years 28
        duplicate_rows drop rows 2 None None None
    """
    for name in (*fix, *skip):
        if not found.of(name):
            known = sorted({each.check for each in found.findings})
            raise unknown_name("check with findings", name, known, at="clean")
    chosen = [each for each in found.findings if (each.safe or each.check in fix) and each.check not in skip]
    chosen = [each for each in chosen if each.action != "keep"]
    if found.kind == "images":
        return _images(data, found, chosen)
    pair = isinstance(data, tuple) and len(data) == 2
    given = data[0] if pair else data
    records = read_records(given) if isinstance(given, str | Path) else Records.of(given, data[1] if pair else None)
    if len(records) != found.rows or [column.name for column in found.columns] != list(records.columns):
        fix_it = "Pass what was examined; with labels apart, the pair (x, y)."
        raise UsageError(f"{len(records)} rows, but the examination is of {found.rows} rows", at="clean", fix=fix_it)
    plan = _planned(chosen, records)
    return _applied(data, records, plan), tuple(plan.changes)


def write_cleaned(path: str | Path, cleaned: Records, changes: Sequence[Change]) -> Path:
    """Write the records to a CSV file and the changes beside it, `data.csv` and `data.changes.json`; return the latter.

    Raises: StorageError if they cannot be written.
    """
    path = Path(path)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(cleaned.columns)
    parts = [_written(column) for column in cleaned.columns.values()]
    writer.writerows(zip(*parts, strict=True))
    write_atomic(path, text.getvalue().encode("utf-8", "replace"))
    return _log(path, changes)


def copy_cleaned(folder: str | Path, root: str | Path, kept: Sequence[Path], changes: Sequence[Change]) -> Path:
    """Copy the images that stay from `root` into a new `folder`, whole or not at all, and write the changes beside it;
    return the latter.

    Raises: StorageError if the folder exists, or cannot be written.
    """
    folder, root = Path(folder), Path(root)
    with atomic_directory(folder) as place:
        for file in kept:
            there = place / file.relative_to(root)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, there)
    return _log(folder, changes)


def _log(path: Path, changes: Sequence[Change]) -> Path:
    log = path.with_name(f"{path.name.removesuffix('.csv')}.changes.json")
    write_atomic(log, msgspec.json.format(msgspec.json.encode(list(changes)), indent=1))
    return log


def _planned(findings: Sequence[Finding], records: Records) -> _Plan:
    plan = _Plan()
    for finding in sorted(
        findings, key=lambda each: ("replace", "set missing", "drop rows", "drop columns").index(each.action)
    ):
        if finding.action == "drop columns":
            for name in finding.columns:
                if name not in plan.columns:
                    plan.columns.add(name)
                    plan.changes.append(_change(finding, column=name))
        elif finding.action == "drop rows":
            for row in finding.action_rows:
                if row not in plan.rows:
                    plan.rows.add(row)
                    plan.changes.append(_change(finding, row=row))
        else:
            for name in finding.columns:
                _edit(plan, finding, records.columns[name])
    return plan


def _edit(plan: _Plan, finding: Finding, column: Column) -> None:
    edits = plan.edits.setdefault(column.name, {})
    for row in finding.action_rows:
        before = edits[row] if row in edits else column.show(row)
        if before is None:
            continue
        after = None if finding.action == "set missing" else finding.replacements.get(before, before)
        if after != before:
            edits[row] = after
            plan.changes.append(_change(finding, row=row, column=column.name, before=before, after=after))


def _change(finding: Finding, **where: Any) -> Change:
    return Change(check=finding.check, action=finding.action, why=f"{finding.title}: {finding.remedy}", **where)


def _applied(data: Any, records: Records, plan: _Plan) -> Any:
    kept = plan.kept(len(records))
    names = [name for name in records.columns if name not in plan.columns]
    raws = {name: _edited(records.columns[name], plan.edits.get(name, {}))[kept] for name in names}
    if isinstance(data, Table):
        return _table(data, records, raws)
    if hasattr(data, "iloc"):
        return _frame(data, plan, names, kept)
    if isinstance(data, Mapping):
        return raws
    if isinstance(data, tuple):
        x = np.stack([raws[name] for name in names if name != "target"], axis=1)
        return x, raws["target"]
    if isinstance(data, str | Path | Records):
        return Records([parse(name, raws[name]) for name in names], source=records.source, typed=records.typed)
    return np.stack([raws[name] for name in names], axis=1)


def _edited(column: Column, edits: Mapping[int, str | None]) -> Array:
    """The raw values (N,) with edits: NaN or None for what is emptied."""
    raw = column.raw
    if not edits:
        return raw
    if raw.dtype.kind in "biu":
        raw = raw.astype(np.float64)
    raw = raw.copy()
    empty: Any = np.nan if raw.dtype.kind == "f" else np.datetime64("NaT") if raw.dtype.kind == "M" else None
    for row, text in edits.items():
        raw[row] = empty if text is None else text
    return raw


def _frame(frame: Any, plan: _Plan, names: Sequence[str], kept: Array) -> Any:
    own = {str(name): place for place, name in enumerate(frame.columns)}
    cleaned = frame.iloc[:, [own[name] for name in names]].copy()
    for place, name in enumerate(names):
        edits = plan.edits.get(name)
        if edits:
            series = cleaned.iloc[:, place]
            if getattr(series.dtype, "kind", "O") in "biu" and None in edits.values():
                series = series.astype("float64")
            series = series.copy()
            for row, text in edits.items():
                series.iloc[row] = text
            cleaned.isetitem(place, series)
    return cleaned.iloc[kept]


def _table(table: Table, records: Records, raws: Mapping[str, Array]) -> Table:
    """A Table again. Its columns have kinds already, so all that can have been done is emptying and removing, and other
    spellings of categories."""
    columns = []
    for name, raw in raws.items():
        column = table.column(name)
        if column.categories is None:
            columns.append(msgspec.structs.replace(column, values=raw))
        else:
            there = tuple(sorted({str(value) for value in raw if value is not None}))
            columns.append(msgspec.structs.replace(column, values=raw, categories=there))
    return Table(columns, table.target)


def _images(data: Any, found: Examination, findings: Sequence[Finding]) -> tuple[Any, tuple[Change, ...]]:
    plan = _Plan()
    for finding in findings:
        for row in finding.action_rows:
            if row not in plan.rows:
                plan.rows.add(row)
                plan.changes.append(_change(finding, row=row, before=found.files[row]))
    kept, changes = plan.kept(found.rows), tuple(plan.changes)
    if isinstance(data, str | Path):
        names = ImageSubject.files_of(data)[0]
        if tuple(names) != found.files:
            raise UsageError("the folder holds other files than were examined", at="clean", fix="Examine it anew.")
        return tuple(Path(data) / found.files[row] for row in kept), changes
    parts = data if isinstance(data, tuple) else (data,)
    for part in parts:
        if len(part) != found.rows:
            raise UsageError(f"{len(part)} images, but the examination is of {found.rows}", at="clean")
    cleaned = tuple(np.asarray(part)[kept] for part in parts)
    return (cleaned if isinstance(data, tuple) else cleaned[0]), changes


def _written(column: Column) -> list[str]:
    """Values as a file holds them, as they came: numbers without a needless ".0", empty where missing."""
    if column.raw.dtype == object:
        return [
            "" if value is None or gone else str(value) for value, gone in zip(column.raw, column.missing, strict=True)
        ]
    if column.kind == "date":
        return ["" if gone else str(value) for value, gone in zip(column.raw, column.missing, strict=True)]
    numbers = column.raw.tolist()
    whole = column.whole and bool((np.abs(column.finite) < 2**53).all())
    return [
        "" if np.isnan(value) else str(int(value)) if whole and np.isfinite(value) else repr(value) for value in numbers
    ]
