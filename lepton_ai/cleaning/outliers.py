"""Checks of values, and of rows, that lie far from all others."""

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject, listed
from lepton_ai.cleaning.columns import Array, Column
from lepton_ai.cleaning.findings import Finding, many
from lepton_ai.cleaning.missing import sentinel_values
from lepton_ai.web import count, significant

FAR = 6.0  # robust standard deviations, on the scale on which the column is most symmetric
FITS = 4
FENCE = 3.0  # interquartile ranges beyond the quartiles (Tukey's outer fence)


class Outliers(Check[TableSubject]):
    """Numbers that are outliers twice over: by median and median deviation, and by quartiles; on a logarithmic scale
    where that makes the column more symmetric, so that a long tail is no outlier.

    Iglewicz, Hoaglin: How to Detect and Handle Outliers, 1993; Tukey: Exploratory Data Analysis, 1977.
    """

    name = "outliers"
    about = "numbers far from all others of their column"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in subject.features:
            if (
                column.kind != "number"
                or column.name in subject.identifiers
                or column.categorical
                or len(column.finite) < 20
            ):
                continue
            mask, low, high = outlying(column)
            rows = listed(mask)
            if rows:
                found = column.values[mask]
                yield Finding(
                    check=self.name,
                    severity="warning" if len(rows) <= 0.01 * subject.rows else "note",
                    title="outliers",
                    columns=(column.name,),
                    rows=rows,
                    count=len(rows),
                    action="set missing",
                    action_rows=rows,
                    evidence=_words(column, found, low, high, rows[0]),
                    remedy="keep them unless they are errors: state what is possible as a rule; clean empties them",
                )


class UnusualRows(Check[TableSubject]):
    """Rows whose values are usual one by one but not together: by Mahalanobis distance between ranks brought to a
    normal distribution, against the distances of the other rows."""

    name = "unusual_rows"
    about = "rows whose values do not go together"
    sampled = True

    def why_not(self, subject: TableSubject) -> str:
        numbers = [column for column in subject.features if _fits(column, subject)]
        return "" if len(numbers) >= 3 and subject.rows >= 50 else "needs 3 columns of numbers and 50 rows"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        rows = subject.sample()
        columns = [column for column in subject.features if _fits(column, subject)]
        scores = np.stack([normal_scores(column.values[rows]) for column in columns], axis=1)
        far, parts = _unusual(scores)
        marked = np.nonzero(far)[0]
        if not len(marked):
            return
        chosen = rows[marked]
        worst = int(marked[parts[marked].sum(axis=1).argmax()])
        names = [columns[index].name for index in np.argsort(-parts[worst])[:2]]
        shown = ", ".join(f"{name} {subject.records[name].show(int(rows[worst]))}" for name in names)
        yield Finding(
            check=self.name,
            severity="note",
            title="unusual rows",
            rows=tuple(chosen.tolist()),
            count=len(chosen),
            action="drop rows",
            action_rows=tuple(chosen.tolist()),
            evidence=f"{many(len(chosen), 'row', 'combine')} values that do not go together elsewhere, most of all row "
            f"{rows[worst]} ({shown})",
            remedy="look at them: values may stand in the wrong column or row; clean removes the rows",
        )


def outlying(column: Column) -> tuple[Array, float, float]:
    """Where (N,) numbers are outliers, and the bounds beyond which they are."""
    codes = np.array(sentinel_values(column))
    values = np.where(column.bounded & ~np.isin(column.values, codes), column.values, np.nan)
    plain = values[~np.isnan(values)]
    none = np.zeros(len(values), bool)
    if len(plain) < 20 or not np.ptp(plain):
        return none, float("nan"), float("nan")
    scale = float(np.median(np.abs(plain - np.median(plain)))) or float(np.ptp(plain)) / 100
    logs = np.arcsinh((plain - np.median(plain)) / scale) if plain.min() < 0 else np.log(plain + scale / 10)
    use_logs = abs(_skew(logs)) < abs(_skew(plain))
    measured = np.full(len(values), np.nan)
    measured[~np.isnan(values)] = logs if use_logs else plain
    good = measured[~np.isnan(measured)]
    q1, middle, q3 = np.quantile(good, [0.25, 0.5, 0.75])
    spread = max(1.4826 * float(np.median(np.abs(good - middle))), (q3 - q1) / 1.349)
    if spread <= 0:  # more than half of the values are equal: what is usual among the others?
        return none, float("nan"), float("nan")
    with np.errstate(invalid="ignore"):
        mask = np.abs(measured - middle) > FAR * spread
        mask &= (measured < q1 - FENCE * (q3 - q1)) | (measured > q3 + FENCE * (q3 - q1))
    inside = values[~mask & ~np.isnan(values)]
    return mask, float(inside.min()), float(inside.max())


def normal_scores(values: Array) -> Array:
    """Ranks (N,) as quantiles of the normal distribution; 0 where there is no number. Equal values share a rank."""
    known = np.isfinite(values)
    _, places, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - (counts - 1) / 2 - 0.5) / max(1, counts.sum())
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf(float(share)) for share in middle])
    scores = np.zeros(len(values))
    scores[known] = quantiles[places]
    return scores


def _fits(column: Column, subject: TableSubject) -> bool:
    return column.kind == "number" and column.name in subject.content and len(column.codes[1]) > 2


def _unusual(scores: Array) -> tuple[Array, Array]:
    """Which rows are, and what each column adds (N, F). Each fit leaves out the quarter of the rows that lay farthest
    in the one before, so that unusual rows do not pass for usual by being many.

    Rousseeuw, Van Driessen: A Fast Algorithm for the Minimum Covariance Determinant Estimator, 1999.
    """
    keep = np.ones(len(scores), bool)
    for _ in range(FITS):
        inner = scores[keep]
        covariance = np.cov(inner, rowvar=False) + 1e-3 * np.eye(scores.shape[1])
        centred = scores - inner.mean(axis=0)
        parts = centred * np.linalg.solve(covariance, centred.T).T
        distance = np.log(np.maximum(parts.sum(axis=1), 1e-12))
        middle = float(np.median(distance))
        spread = 1.4826 * float(np.median(np.abs(distance - middle)))
        far = distance > middle + max(FAR * spread, 1e-9)
        keep = distance <= np.quantile(distance, 0.75)
    return far, parts


def _skew(values: Array) -> float:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return float((high + low - 2 * middle) / ((high - low) or 1.0))


def _words(column: Column, found: Array, low: float, high: float, first: int) -> str:
    if len(found) == 1:
        what = f"{column.show(first)} in row {first}"
    else:
        least, most = (significant(float(each), 4) for each in (found.min(), found.max()))
        what = f"{count(len(found))} values from {least} to {most}"
    return f"{what}, far from the others, which lie between {significant(low, 4)} and {significant(high, 4)}"
