"""Columns in numbers, and where their gaps are."""

from datetime import UTC, datetime

import numpy as np

from lepton_ai.cleaning.columns import Column
from lepton_ai.cleaning.findings import ColumnFacts, Gaps, Histogram
from lepton_ai.cleaning.records import Records
from lepton_ai.web import significant

COMMON = 10  # values that are counted
BINS = 24
STRETCHES = 40  # of rows in the missing matrix


def column_facts(column: Column) -> ColumnFacts:
    """Range, middle, most frequent values, and for numbers of many values the histogram. Its ends hold all that lies
    farther out than three times the middle four fifths."""
    codes, values = column.codes
    common: tuple[tuple[str, int], ...] = ()
    most = np.argsort(-column.counts, kind="stable")[:COMMON].tolist() if len(values) else []
    if column.kind == "text" or len(values) <= 20:
        common = tuple((column.show(int((codes == code).argmax())), int(column.counts[code])) for code in most)
    numbers = column.finite
    low = median = high = ""
    if len(numbers):
        ends = (float(each) for each in (numbers.min(), np.median(numbers), numbers.max()))
        low, median, high = (_day(each) if column.kind == "date" else significant(each, 6) for each in ends)
    histogram = None
    if column.kind == "number" and not common and len(numbers):
        p10, p90 = np.quantile(numbers, [0.1, 0.9])
        start, end = max(numbers.min(), p10 - 3 * (p90 - p10)), min(numbers.max(), p90 + 3 * (p90 - p10))
        counts, edges = np.histogram(numbers.clip(start, end), bins=BINS, range=(start, end) if end > start else None)
        histogram = Histogram(counts=tuple(counts.tolist()), edges=tuple(edges.tolist()))
    return ColumnFacts(
        name=column.name,
        kind=column.kind,
        missing=int(column.missing.sum()),
        distinct=len(values),
        low=low,
        median=median,
        high=high,
        common=common,
        histogram=histogram,
    )


def gaps(records: Records) -> Gaps | None:
    """The missing matrix of the columns that have gaps; None if none has."""
    columns = [column for column in records.columns.values() if column.missing.any()]
    if not columns:
        return None
    size = -(-len(records) // STRETCHES)
    starts = np.arange(0, len(records), size)
    lengths = np.diff(np.append(starts, len(records)))
    shares = np.stack(
        [np.add.reduceat(column.missing.astype(np.int64), starts) / lengths for column in columns], axis=1
    )
    return Gaps(
        columns=tuple(column.name for column in columns),
        shares=tuple(tuple(round(share, 4) for share in row) for row in shares.tolist()),
        rows_per_stretch=size,
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
