"""`examine`: all checks on one table or one set of images."""

import time as clock
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lepton_ai.cleaning.check import Check, Limits, TableSubject, registry
from lepton_ai.cleaning.columnwise import ConstantColumns, DuplicateColumns, IdentifierColumns, RareValues
from lepton_ai.cleaning.duplicates import ConflictingLabels, DuplicateRows, NearDuplicateRows
from lepton_ai.cleaning.facts import column_facts, gaps
from lepton_ai.cleaning.findings import ORDER, CheckRun, Examination, Finding
from lepton_ai.cleaning.image_checks import (
    BlankImages,
    BlurredImages,
    DuplicateImages,
    ImageClassBalance,
    ImageSizes,
    NearDuplicateImages,
    NoisyImages,
    SharedImages,
    SuspiciousImageLabels,
    UndecodableImages,
)
from lepton_ai.cleaning.images import ImageSubject
from lepton_ai.cleaning.kinds import BrokenText, DriftedColumns, Spellings, WrongTypes
from lepton_ai.cleaning.labels import ClassBalance, SuspiciousLabels
from lepton_ai.cleaning.leaks import LeakingColumns
from lepton_ai.cleaning.missing import EmptyRows, MissingTargets, MissingValues, SentinelCodes
from lepton_ai.cleaning.outliers import Outliers, UnusualRows
from lepton_ai.cleaning.possible import BrokenRules, ImpossibleValues
from lepton_ai.cleaning.reading import read_records
from lepton_ai.cleaning.records import Records
from lepton_ai.cleaning.rules import Rule
from lepton_ai.cleaning.splits import NearlySharedRows, SharedGroups, SharedRows, TimeOverlap
from lepton_ai.cleaning.texts import NearDuplicateTexts
from lepton_ai.core import UsageError, unknown_name
from lepton_ai.data import Table

TABLE_CHECKS = registry(
    "check",
    [
        WrongTypes, BrokenText, Spellings, DriftedColumns, MissingTargets, MissingValues, EmptyRows, SentinelCodes,
        ImpossibleValues, BrokenRules, ConstantColumns, IdentifierColumns, DuplicateColumns, RareValues, Outliers,
        UnusualRows, DuplicateRows, ConflictingLabels, NearDuplicateRows, NearDuplicateTexts, SharedRows,
        NearlySharedRows, SharedGroups, TimeOverlap, LeakingColumns, ClassBalance, SuspiciousLabels,
    ],
)  # fmt: skip
IMAGE_CHECKS = registry(
    "check",
    [
        UndecodableImages, ImageSizes, BlankImages, BlurredImages, NoisyImages, DuplicateImages, NearDuplicateImages,
        SharedImages, ImageClassBalance, SuspiciousImageLabels,
    ],
)  # fmt: skip
S = TypeVar("S")


def check_names() -> tuple[str, ...]:
    """The names of all checks, of tables and of images, sorted."""
    return tuple(sorted({*TABLE_CHECKS, *IMAGE_CHECKS}))


def examine(
    data: Any,
    target: Any = None,
    *,
    against: Any = None,
    group: str | None = None,
    time: str | None = None,
    rules: Sequence[str] = (),
    checks: Sequence[str] | None = None,
    limits: Limits | None = None,
) -> Examination:
    """What is wrong, or looks wrong, with `data`; nothing is changed.

    `data` is a path (CSV, TSV, Parquet, or a folder of images by class), a data frame, a `Table`, a mapping of columns,
    an array (N, F), or images (N, H, W) or (N, H, W, C). `target` names the column to learn, or is the labels (N,)
    themselves. `against` is other data, such as the test part, that must share neither rows, nor values of the column
    `group`, nor lie earlier than the column `time` here. `rules` are sentences such as "age between 0 and 120".
    `checks` names those to make, all by default.

    Raises: UnknownNameError for a column or a check; ConfigError for a rule that cannot be read; MissingExtraError
    without scikit-learn (extra `data`); as `read_records` for files.

    Example:
        >>> ages = {"age": [31, 28, -5, *range(20, 70)], "town": ["Graz", "graz", "Wien"] + ["Graz", "Wien"] * 25}
        >>> for finding in examine(ages, rules=["age < 65"]).findings:
        ...     print(finding.check, finding.columns, finding.rows)
        impossible_values ('age',) (2,)
        broken_rules ('age',) (48, 49, 50, 51, 52)
        spellings ('town',) (1,)
    """
    limits = limits or Limits()
    if _is_images(data):
        for name, given in (("group", group), ("time", time), ("rules", rules or None)):
            if given is not None:
                raise UsageError(f"{name} with images", at="examine", fix=f"Leave {name} out: it is about tables.")
        return _run_images(data, target, against, checks, limits)
    subject = table_subject(data, target, against, group=group, time=time, rules=rules, limits=limits)
    findings, runs = _run(TABLE_CHECKS, subject, checks, subject.scope)
    return Examination(
        source=subject.records.source,
        kind="table",
        rows=subject.rows,
        target=subject.target,
        problem=subject.problem,
        columns=tuple(column_facts(column) for column in subject.records.columns.values()),
        gaps=gaps(subject.records),
        findings=findings,
        checks=runs,
    )


def table_subject(
    data: Any, target: Any, against: Any, *, group: str | None, time: str | None, rules: Sequence[str], limits: Limits
) -> TableSubject:
    """The table that `examine` was given."""
    y = None if target is None or isinstance(target, str) else target
    records = read_records(data) if isinstance(data, str | Path) else Records.of(data, y)
    if target is None and isinstance(data, Table):
        target = data.target
    other = None
    if isinstance(against, str | Path):
        other = read_records(against)
    elif against is not None:
        pair = isinstance(against, tuple) and len(against) == 2
        other = Records.of(*against) if pair else Records.of(against)
    return TableSubject(
        records,
        target="target" if y is not None else target,
        against=other,
        group=group,
        time=time,
        rules=[Rule.parse(rule) for rule in rules],
        limits=limits,
    )


def _run_images(data: Any, target: Any, against: Any, checks: Sequence[str] | None, limits: Limits) -> Examination:
    subject = _image_subject(data, target, limits)
    if against is not None:
        pair = isinstance(against, tuple) and len(against) == 2
        subject.against = _image_subject(against[0] if pair else against, against[1] if pair else None, limits)

    def scope() -> str:
        some = subject.rows > limits.sample
        return f"a sample of {limits.sample:,} of {subject.rows:,} images" if some else "all images"

    findings, runs = _run(IMAGE_CHECKS, subject, checks, scope)
    return Examination(
        source=subject.source,
        kind="images",
        rows=subject.rows,
        target="class" if subject.labels else None,
        problem="classification" if subject.labels else None,
        files=subject.names,
        findings=findings,
        checks=runs,
    )


def _image_subject(data: Any, target: Any, limits: Limits) -> ImageSubject:
    if isinstance(data, str | Path):
        if target is not None:
            raise UsageError("a target with a folder of images", at="examine", fix="The folders are the classes.")
        return ImageSubject.of_folder(data, limits)
    return ImageSubject.of_arrays(data, target, limits)


def _is_images(data: Any) -> bool:
    if isinstance(data, str | Path):
        return Path(data).is_dir()
    return not hasattr(data, "columns") and len(getattr(data, "shape", ())) in (3, 4)


def _run(
    checks: Any, subject: S, chosen: Sequence[str] | None, scope: Any
) -> tuple[tuple[Finding, ...], tuple[CheckRun, ...]]:
    for name in chosen or ():
        if name not in checks:
            raise unknown_name("check", name, list(checks), at="examine.checks")
    findings: list[Finding] = []
    runs: list[CheckRun] = []
    for name in checks:
        if chosen is not None and name not in chosen:
            continue
        check: Check[S] = checks.get(name)
        why_not = check.why_not(subject)
        start = clock.perf_counter()
        if not why_not:
            with np.errstate(over="ignore"):  # amounts of any size are checked as they come
                findings += check.run(subject)
        runs.append(
            CheckRun(
                name=name,
                about=check.about,
                scope="" if why_not else scope() if check.sampled else "everything",
                seconds=round(clock.perf_counter() - start, 3),
                skipped=why_not,
            )
        )
    order = {name: place for place, name in enumerate(checks)}
    findings.sort(key=lambda each: (ORDER.index(each.severity), order[each.check], -each.count))
    return tuple(findings), tuple(runs)
