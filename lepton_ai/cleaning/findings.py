"""What an examination finds, as it is shown, stored and acted on."""

from typing import Literal

import msgspec

from lepton_ai.core import DataError
from lepton_ai.web import count

Severity = Literal["error", "warning", "note"]
Action = Literal["keep", "drop rows", "drop columns", "set missing", "replace"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")
VERSION = 1


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a check found.

    `rows` are indices from 0, sorted; `count` is how many things `evidence` speaks of. `action` is what `clean` would
    do to `action_rows` of `columns` and `remedy` says why; `clean` does it unasked only where `safe`. `replacements`
    are the texts that "replace" writes for others.
    """

    check: str
    severity: Severity
    title: str
    evidence: str
    count: int
    columns: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    remedy: str = ""
    action: Action = "keep"
    action_rows: tuple[int, ...] = ()
    replacements: dict[str, str] = {}
    safe: bool = False


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """`counts[i]` values between `edges[i]` and `edges[i + 1]`."""

    counts: tuple[int, ...]
    edges: tuple[float, ...]


class ColumnFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One column in numbers. `common` are its most frequent values with their counts."""

    name: str
    kind: str
    missing: int
    distinct: int
    low: str = ""
    median: str = ""
    high: str = ""
    common: tuple[tuple[str, int], ...] = ()
    histogram: Histogram | None = None


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """The missing matrix: `shares[i][j]` of the i-th stretch of rows is missing in `columns[j]`."""

    columns: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    rows_per_stretch: int


class CheckRun(msgspec.Struct, frozen=True, kw_only=True):
    """That a check ran: what it looks for, on what (`scope`: all rows, or a sample), how long, or why it did not."""

    name: str
    about: str
    scope: str = ""
    seconds: float = 0.0
    skipped: str = ""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """The report of an examination: findings, the gravest first, with the facts that they rest on.

    Example:
        >>> from lepton_ai.cleaning import examine
        >>> found = examine({"size": [1.0, 2.0, None, 4.0], "unit": ["m"] * 4}, checks=["missing_values", "constant"])
        >>> print(found.summary())
        4 rows, 2 columns: 0 errors, 1 warning, 1 note
        warning  missing_values  size: 1 of 4 rows (25.0 %) have no value, the first row 2
        note     constant        unit: the only value is 'm'
        >>> Examination.from_json(found.to_json()) == found
        True
    """

    source: str
    kind: Literal["table", "images"]
    rows: int
    target: str | None = None
    problem: str | None = None
    columns: tuple[ColumnFacts, ...] = ()
    gaps: Gaps | None = None
    files: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[CheckRun, ...] = ()
    version: int = VERSION

    def of(self, check: str) -> tuple[Finding, ...]:
        """The findings of one check."""
        return tuple(finding for finding in self.findings if finding.check == check)

    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity, the gravest first."""
        return {severity: sum(each.severity == severity for each in self.findings) for severity in ORDER}

    def headline(self) -> str:
        """Its size and its findings, in a line."""
        errors, warnings, notes = self.counts().values()
        size = f"{count(self.rows)} {'images' if self.kind == 'images' else 'rows'}"
        size += f", {len(self.columns)} columns" if self.kind == "table" else ""
        return f"{size}: {many(errors, 'error')}, {many(warnings, 'warning')}, {many(notes, 'note')}"

    def summary(self) -> str:
        """The headline, and a line for each finding."""
        width = max((len(each.check) for each in self.findings), default=0)
        lines = [f"{each.severity:<7}  {each.check:<{width}}  {place(each)}{each.evidence}" for each in self.findings]
        return "\n".join([self.headline(), *lines]).replace("\u202f", " ")

    def to_json(self) -> bytes:
        """The whole of it as JSON; `from_json` reads it."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def from_json(cls, content: bytes) -> "Examination":
        """What `to_json` wrote.

        Raises: DataError for JSON that is no examination, or one of another version.
        """
        try:
            found = msgspec.json.decode(content, type=cls)
        except msgspec.MsgspecError as error:
            raise DataError(f"not an examination ({error})", at="Examination.from_json") from error
        if found.version != VERSION:
            raise DataError(at="Examination.version", got=found.version, expected=str(VERSION))
        return found


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that `clean` did: to a value (row and column), to a row, or to a column; and why.

    `row` is the row's index before cleaning.
    """

    check: str
    action: Action
    why: str
    row: int | None = None
    column: str | None = None
    before: str | None = None
    after: str | None = None


def place(finding: Finding) -> str:
    """The columns of a finding before its evidence: `"age, size: "`."""
    if not finding.columns:
        return ""
    more = len(finding.columns) - 4
    return ", ".join(finding.columns[:4]) + (f" and {more} more" if more > 0 else "") + ": "


def many(number: int, word: str, verb: str = "") -> str:
    """So many of a thing, and what they do: `many(1, "row", "equal")` is "1 row equals"."""
    if verb:
        return f"{many(number, word)} {verb}{'s' if number == 1 else ''}"
    return f"{count(number)} {word}{'' if number == 1 else 's'}"
