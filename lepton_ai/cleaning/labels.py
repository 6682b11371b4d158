"""Checks of the target: how its classes are spread, and which labels a model that never saw them doubts."""

from collections.abc import Iterator, Sequence

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject, listed
from lepton_ai.cleaning.columns import Array
from lepton_ai.cleaning.findings import Finding, many
from lepton_ai.cleaning.learners import WORDS, Model, out_of_fold, out_of_fold_amounts
from lepton_ai.web import count, percent, significant

UNEVEN = 10.0  # the largest class has so many times the rows of the smallest
FEW = 10  # rows that a class needs
BAR, HOPELESS = 0.9, 0.05  # of a class's average probability: to be believed; to be given up
FAR = 10.0  # robust standard deviations between an amount and what was expected


class ClassBalance(Check[TableSubject]):
    """One class only, very uneven ones, classes of a few rows, and classes that only one of the parts has."""

    name = "class_balance"
    about = "how the target's classes are spread"

    def why_not(self, subject: TableSubject) -> str:
        return "" if subject.problem == "classification" else "no target of classes is named"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        goal = subject.goal
        assert goal is not None
        names = [class_name(value) for value in goal.codes[1]]
        yield from balance(self.name, names, goal.codes[0], goal.name)
        if subject.against is not None and goal.name in subject.against:
            there = subject.against[goal.name].codes[1]
            new = [value for value in there if value not in goal.codes[1]]
            if new:
                yield Finding(
                    check=self.name,
                    severity="error",
                    title="unknown classes",
                    columns=(goal.name,),
                    count=len(new),
                    evidence=f"the other data has classes that are not here: {', '.join(map(str, new[:5]))}",
                    remedy="no model can answer with a class it has not seen: split anew, with stratify",
                )


def balance(check: str, names: Sequence[str], codes: Array, column: str) -> Iterator[Finding]:
    """The findings on classes by `names`, where each row's class is `codes` (N,), -1 for none."""
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    if len(names) == 1:
        yield Finding(
            check=check,
            severity="error",
            title="one class only",
            columns=(column,),
            count=1,
            evidence=f"all {count(int(counts[0]))} rows are {names[0]!r}",
            remedy="add rows of other classes: there is nothing to tell apart",
        )
        return
    low, high = int(counts.argmin()), int(counts.argmax())
    times = counts[high] / max(1, counts[low])
    if times >= UNEVEN:
        yield Finding(
            check=check,
            severity="warning",
            title="uneven classes",
            columns=(column,),
            count=len(names),
            evidence=f"{names[high]!r} has {count(int(counts[high]))} rows "
            f"({percent(counts[high] / counts.sum())}), {names[low]!r} "
            f"has {count(int(counts[low]))}: accuracy says little",
            remedy="leave the rows; weigh classes in fit(class_weight=...) and judge by more than accuracy",
        )
    small = [index for index in range(len(names)) if counts[index] < FEW]
    if small:
        shown = ", ".join(f"{names[index]!r} ({counts[index]})" for index in small[:5])
        rows = listed(np.isin(codes, small))
        yield Finding(
            check=check,
            severity="warning",
            title="classes of a few rows",
            columns=(column,),
            rows=rows,
            count=len(small),
            evidence=f"{len(small)} of {len(names)} classes have fewer than {FEW} rows: {shown}",
            remedy="add rows, or join classes: so few cannot be split into training and test",
        )


class SuspiciousLabels(Check[TableSubject]):
    """Labels that a model which never saw them contradicts, surer of another class than it usually is where it is
    right; amounts that lie very far from what such a model expects.

    Northcutt, Jiang, Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels, 2021.
    """

    name = "suspicious_labels"
    about = "labels that a model which never saw them contradicts"
    sampled = True

    def why_not(self, subject: TableSubject) -> str:
        if subject.problem is None:
            return "no target is named"
        goal = subject.goal
        if goal is None or len(goal.present) < 50 or len(goal.codes[1]) < 2 or not subject.content:
            return "needs 50 rows with a target of more than one value, and a feature"
        return ""

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        goal = subject.goal
        assert goal is not None
        classes = subject.problem == "classification"
        rows = subject.sample(np.nonzero(goal.known & (goal.bounded | (goal.kind == "text")))[0])
        features = np.stack([_numbers(subject, name)[rows] for name in subject.content], axis=1)
        if classes:
            names = [class_name(value) for value in goal.codes[1]]
            gaps = bool(np.isnan(features).any()) or any(
                subject.records[name].kind == "text" for name in subject.content
            )
            model: Model = "linear" if len(rows) < 2_000 and not gaps else "trees"
            yield from doubts(
                self.name, features, goal.codes[0][rows], rows, names, goal.name, model, subject.limits.seed
            )
            return
        amounts = goal.values[rows]
        expected = out_of_fold_amounts(features, amounts, seed=subject.limits.seed)
        error = amounts - expected
        middle = float(np.median(error))
        spread = 1.4826 * float(np.median(np.abs(error - middle)))
        far = np.abs(error - middle) > FAR * spread if spread > 0 else np.zeros(len(error), bool)
        marked = np.nonzero(far)[0]
        if len(marked):
            worst = int(np.abs(error - middle).argmax())
            chosen = tuple(rows[marked].tolist())
            yield Finding(
                check=self.name,
                severity="warning",
                title="amounts nobody would expect",
                columns=(goal.name,),
                rows=chosen,
                count=len(chosen),
                action="drop rows",
                action_rows=chosen,
                evidence=f"{many(len(chosen), 'amount')} far from what boosted trees expect that never saw "
                f"the row, most of "
                f"all row {rows[worst]}: {significant(float(amounts[worst]), 4)}, expected "
                f"{significant(float(expected[worst]), 4)}",
                remedy="look at them, the farthest first; clean removes the rows",
            )


def doubts(
    check: str, features: Array, codes: Array, rows: Array, names: Sequence[str], column: str, model: Model, seed: int
) -> Iterator[Finding]:
    """The finding on `codes` (n,), the classes of `rows`, by a model of `features` (n, F)."""
    present, places = np.unique(codes, return_inverse=True)
    if len(present) < 2:
        return
    chances = out_of_fold(features, places, model=model, seed=seed)
    suspects, better = contradicted(chances, places)
    if not len(suspects):
        return
    right = float((chances.argmax(axis=1) == places).mean())
    # A model that is wrong as often as this one may be blamed for its doubts itself.
    share = len(suspects) / len(codes)
    worst = int(suspects[0])
    chosen = tuple(np.sort(rows[suspects]).tolist())
    name = [names[code] for code in present.tolist()]
    yield Finding(
        check=check,
        severity="warning" if right >= 0.9 else "note",
        title="suspicious labels",
        columns=(column,),
        rows=chosen,
        count=len(chosen),
        action="drop rows",
        action_rows=chosen,
        evidence=f"{many(len(chosen), 'label')} ({percent(share)}) contradicted by {WORDS[model]} that never "
        f"saw the "
        f"row (right on "
        f"{percent(right)} of all), most of all row {rows[worst]}: {name[places[worst]]!r}, where it is "
        f"{percent(float(chances[worst, better[0]]))} sure of {name[better[0]]!r}"
        + ("" if right >= 0.9 else ". At that rate most may be the model's fault"),
        remedy="look at them; clean removes the rows",
    )


def contradicted(chances: Array, codes: Array) -> tuple[Array, Array]:
    """Rows of `chances` (n, C) whose label is doubted, the most doubtful first, and the class that each seems to be.

    A class is believed of a row if it is the likeliest, and nearly as likely as it is on average in the rows so
    labelled. A row is doubted if its own class is not the one believed, or hardly has a chance. Northcutt's bar is the
    whole average; nine tenths of it find more of the errors planted in real data, for a few more false alarms.
    """
    classes = chances.shape[1]
    bars = np.array([chances[codes == index, index].mean() for index in range(classes)])
    best, most = chances.argmax(axis=1), chances.max(axis=1)
    own = chances[np.arange(len(codes)), codes]
    rows = np.nonzero((best != codes) & ((most >= BAR * bars[best]) | (own <= HOPELESS * bars[codes])))[0]
    order = rows[np.argsort((own - most)[rows], kind="stable")]
    return order, best[order]


def class_name(value: object) -> str:
    """A class as people write it: whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _numbers(subject: TableSubject, name: str) -> Array:
    """A column as a model takes it: numbers with gaps (NaN), texts by how frequent they are."""
    column = subject.records[name]
    if column.kind != "text":
        return np.where(column.bounded, column.values, np.nan)
    codes, _ = column.codes
    rank = np.argsort(np.argsort(-column.counts, kind="stable")) if len(column.counts) else np.zeros(1, np.int64)
    return np.where(codes < 0, np.nan, rank[np.maximum(codes, 0)].astype(np.float64))
