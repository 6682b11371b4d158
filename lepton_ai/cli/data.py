"""`lepton data check`."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lepton_ai.cleaning import (
    Change,
    Examination,
    Finding,
    clean,
    copy_cleaned,
    examination_report,
    examine,
    write_cleaned,
)
from lepton_ai.core import UsageError, write_atomic
from lepton_ai.evaluation import write_report

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}
INDENT = 9


def check_data(
    path: Path,
    *,
    target: str | None,
    test: Path | None,
    group: str | None,
    time: str | None,
    rules: Sequence[str],
    html: Path | None,
    json: Path | None,
    cleaned: Path | None,
    fix: Sequence[str],
) -> None:
    """Examine a file or a folder, show the findings, and write what is asked for.

    Raises: as `examine` and `clean`; UsageError for a cleaned table that is not to be a CSV file, or would take the
    place of the data.
    """
    if cleaned is None and fix:
        raise UsageError("--fix without --clean", fix="Add --clean cleaned.csv.")
    if cleaned is not None:
        _check_place(path, cleaned)
    found = examine(path, target, against=test, group=group, time=time, rules=rules)
    console = Console(highlight=False, soft_wrap=False)
    show(console, found)
    if html is not None:
        write_report(html, examination_report(found, path if path.is_dir() else None))
        console.print(f"report   {html}", soft_wrap=True)
    if json is not None:
        write_atomic(json, found.to_json())
        console.print(f"JSON     {json}", soft_wrap=True)
    if cleaned is not None:
        result, changes = clean(path, found, fix=fix)
        left = f"{len(result):,} of {found.rows:,} {'images' if found.kind == 'images' else 'rows'}"
        log = copy_cleaned(cleaned, path, result, changes) if path.is_dir() else write_cleaned(cleaned, result, changes)
        console.print(
            f"cleaned  {cleaned}: {left} left; {_tally(changes)}, each with its reason in {log}", soft_wrap=True
        )


def show(console: Console, found: Examination) -> None:
    """The findings, the gravest first, each with its evidence and what cleaning does."""
    console.print(Text(f"{found.source}: {found.headline()}", style="bold"))
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=INDENT - 2, no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in found.findings:
        grid.add_row(Text(finding.severity, style=STYLES[finding.severity]), _words(finding))
    console.print(grid)
    skipped = [f"{run.name} ({run.skipped})" for run in found.checks if run.skipped]
    sampled = [f"{run.name} ({run.scope})" for run in found.checks if run.scope.startswith("a sample")]
    for word, runs in (("not made", skipped), ("sampled", sampled)):
        if runs:
            console.print(Text(f"{word}: {', '.join(runs)}", style="dim"))


def _words(finding: Finding) -> Text:
    more = len(finding.columns) - 4
    where = ", ".join(finding.columns[:4]) + (f" and {more} more" if more > 0 else "")
    text = Text(f"{finding.check}", style="bold")
    text.append(f"  {where}\n" if where else "\n", style="not bold")
    text.append(f"{finding.evidence}\n", style="not bold")
    if finding.action == "keep":
        text.append(f"advice: {finding.remedy}", style="not bold dim")
    else:
        text.append(f"{'clean' if finding.safe else f'--fix {finding.check}'}: {finding.remedy}", style="not bold dim")
    return text


def _check_place(path: Path, cleaned: Path) -> None:
    if cleaned.resolve() == path.resolve():
        raise UsageError(f"--clean would overwrite {path}", fix="Give another name: --clean cleaned.csv.")
    if not path.is_dir() and cleaned.suffix.lower() != ".csv":
        raise UsageError(at="--clean", got=str(cleaned), expected="a name that ends in .csv")


def _tally(changes: Sequence[Change]) -> str:
    rows = sum(change.action == "drop rows" for change in changes)
    columns = sum(change.action == "drop columns" for change in changes)
    values = len(changes) - rows - columns
    parts = [
        f"{number:,} {word}{'' if number == 1 else 's'} {done}"
        for number, word, done in (
            (rows, "row", "removed"),
            (columns, "column", "removed"),
            (values, "value", "changed"),
        )
        if number
    ]
    return ", ".join(parts) or "nothing changed"
