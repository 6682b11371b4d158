"""An examination as a report: the gravest findings first, then gaps, columns, and what was checked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lepton_ai.cleaning.findings import ORDER, ColumnFacts, Examination, Finding, many
from lepton_ai.evaluation import (
    Chart,
    Fact,
    Facts,
    Picture,
    Pictures,
    Report,
    Section,
    Table,
    Text,
)
from lepton_ai.web import bar_chart, compact, count, histogram, percent, picture, share_matrix

HEADS = {"error": "Errors", "warning": "Warnings", "note": "Notes"}
LEADS = {
    "error": "Wrong beyond doubt, or grave enough to make what is learnt from the data worthless.",
    "warning": "Probably wrong, or in need of a decision.",
    "note": "Worth knowing. Most may be as it should be.",
}
MOST_ROWS = 12  # rows named in a finding
MOST_COLUMNS = 60  # columns that are drawn
MOST_PICTURES = 12
THUMB = 96  # pixels a side


def examination_report(found: Examination, folder: str | Path | None = None) -> Report:
    """The page for an examination; `evaluation.write_report` writes it. For images, `folder` is where they are, so that
    those of the findings are shown.

    Example:
        >>> from lepton_ai.cleaning import examine
        >>> report = examination_report(examine({"age": [31.0, None, 40.0]}))
        >>> [section.title for section in report.sections]
        ['Findings', 'Warnings', 'Gaps', 'Columns', 'What was checked']
    """
    things = "images" if found.kind == "images" else "rows"
    errors, warnings, notes = found.counts().values()
    facts = [
        Fact(label="Errors", value=errors, note=_safe(found, "error")),
        Fact(label="Warnings", value=warnings, note=_safe(found, "warning")),
        Fact(label="Notes", value=notes),
        Fact(label=things.capitalize(), value=found.rows),
    ]
    if found.kind == "table":
        cells = found.rows * len(found.columns)
        gone = sum(column.missing for column in found.columns)
        facts.append(
            Fact(label="Columns", value=len(found.columns), note=f"target: {found.target}" if found.target else "")
        )
        facts.append(
            Fact(label="Missing", value=percent(gone / cells), note=f"{count(gone)} of {compact(cells)} values")
        )
    sections = [
        _overview(found),
        *(_severity(found, severity, folder) for severity in ORDER if found.counts()[severity]),
    ]
    if found.gaps is not None:
        sections.append(_gaps(found))
    if found.columns:
        sections.append(_columns(found))
    return Report(
        title=f"Data check: {found.source}",
        subtitle="What is wrong, or looks wrong, with the data; how that is known; and what cleaning would do.",
        facts=tuple(facts),
        sections=(*sections, _checks(found)),
    )


def _safe(found: Examination, severity: str) -> str:
    safe = sum(finding.safe for finding in found.findings if finding.severity == severity)
    return f"{safe} that clean puts right unasked" if safe else ""


def _overview(found: Examination) -> Section:
    things = "images" if found.kind == "images" else "rows"
    if not found.findings:
        return Section(title="Findings", blocks=(Text(body="Nothing was found."),))
    rows = tuple((each.severity, each.count, each.title, _where(each, 3) or things) for each in found.findings)
    table = Table(columns=("severity", "count", "finding", "where"), rows=rows, full=True)
    return Section(title="Findings", lead="The gravest first.", blocks=(table,))


def _where(finding: Finding, most: int) -> str:
    if finding.columns:
        more = len(finding.columns) - most
        return ", ".join(finding.columns[:most]) + (f" and {more} more" if more > 0 else "")
    return ""


def _severity(found: Examination, severity: str, folder: str | Path | None) -> Section:
    blocks: list[Facts | Pictures] = []
    for finding in found.findings:
        if finding.severity == severity:
            blocks.append(_finding(finding, found.rows, "Images" if found.kind == "images" else "Rows"))
            if found.kind == "images" and folder is not None and finding.rows:
                blocks += _pictures(finding, found.files, Path(folder))
    return Section(title=HEADS[severity], lead=LEADS[severity], blocks=tuple(blocks))


def _finding(finding: Finding, total: int, things: str) -> Facts:
    title = finding.title[:1].upper() + finding.title[1:]
    where = f": {_where(finding, 6)}" if finding.columns else ""
    items = [Fact(label="Evidence", value=_sentence(finding.evidence))]
    if finding.rows:
        named = ", ".join(map(str, finding.rows[:MOST_ROWS]))
        more = f" and {count(len(finding.rows) - MOST_ROWS)} more" if len(finding.rows) > MOST_ROWS else ""
        items.append(Fact(label=f"{things} ({percent(len(finding.rows) / total)})", value=named + more))
    done = "unasked" if finding.safe else "when asked" if finding.action != "keep" else ""
    items.append(Fact(label=f"Clean ({done})" if done else "Advice", value=_sentence(finding.remedy)))
    return Facts(title=title + where, items=tuple(items))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""


def _pictures(finding: Finding, files: Sequence[str], folder: Path) -> list[Pictures]:
    items = []
    for row in finding.rows[:MOST_PICTURES]:
        try:
            with Image.open(folder / files[row]) as opened:
                opened.draft("RGB", (THUMB, THUMB))
                image = opened.convert("RGB")
                image.thumbnail((THUMB, THUMB))
        except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
            continue  # what does not decode is named in the finding already
        items.append(Picture(uri=picture(np.asarray(image)), caption=f"{files[row]}"))
    return [Pictures(items=tuple(items))] if items else []


def _gaps(found: Examination) -> Section:
    gaps = found.gaps
    assert gaps is not None
    shares = np.array(gaps.shares)
    shown = np.argsort(-shares.mean(axis=0), kind="stable")[:MOST_COLUMNS]
    names = [gaps.columns[index] for index in shown]
    part = "" if len(shown) == len(gaps.columns) else f" The emptiest {len(shown)} of {len(gaps.columns)} columns."
    matrix = Chart(
        title="Where values are missing",
        svg=share_matrix(
            shares[:, shown], columns=names, rows_per_stretch=gaps.rows_per_stretch, title="Missing values"
        ),
        caption=f"Each cell is {count(gaps.rows_per_stretch)} rows in their order; the darker, the more of them are "
        f"missing. Columns without gaps are left out.{part}",
    )
    total = {column.name: column.missing / found.rows for column in found.columns}
    bars = bar_chart({name: total[name] for name in names}, title="Share missing", show=percent, highest=1.0)
    return Section(title="Gaps", blocks=(matrix, Chart(title="Share of rows without a value", svg=bars)))


def _columns(found: Examination) -> Section:
    # Columns with findings come first: the others are as they should be.
    troubled = {name: -place for place, each in enumerate(reversed(found.findings)) for name in each.columns}
    order = sorted(found.columns, key=lambda column: troubled.get(column.name, 1))
    shown = order[:MOST_COLUMNS]
    rows = tuple(
        (column.name, column.kind, column.distinct, column.missing, column.low, column.median, column.high)
        for column in found.columns
    )
    table = Table(
        columns=("column", "kind", "distinct", "missing", "lowest", "median", "highest"), rows=rows, full=True
    )
    charts = tuple(chart for column in shown if (chart := _chart(column)) is not None)
    part = f" The first {len(shown)} are drawn." if len(shown) < len(order) else ""
    return Section(
        title="Columns", lead=f"What each holds; those with findings are drawn first.{part}", blocks=(table, *charts)
    )


def _chart(column: ColumnFacts) -> Chart | None:
    if column.histogram is not None:
        svg = histogram(column.histogram.counts, column.histogram.edges, title=column.name)
        whole = f"From {column.low} to {column.high}, half of the values below {column.median}."
        return Chart(title=column.name, svg=svg, caption=whole)
    if column.common and column.distinct <= 1000:
        rest = column.distinct - len(column.common)
        svg = bar_chart({_name(value): times for value, times in column.common}, title=column.name, show=_times)
        return Chart(title=column.name, svg=svg, caption=f"And {many(rest, 'other value')}." if rest else "")
    return None


def _name(value: str) -> str:
    return value if value.strip() else repr(value)


def _times(value: float) -> str:
    return count(int(value))


def _checks(found: Examination) -> Section:
    rows = tuple(
        (
            run.about,
            run.name,
            "–" if run.skipped else len(found.of(run.name)),
            run.skipped or run.scope,
            f"{run.seconds:.2f} s",
        )
        for run in found.checks
    )
    table = Table(columns=("looked for", "check", "findings", "looked at", "took"), rows=rows, full=True)
    return Section(title="What was checked", lead="A check that was not made says why.", blocks=(table,))
