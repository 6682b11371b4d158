"""What every check of data must do."""

from typing import Any

import numpy as np

from lepton_ai.cleaning.check import Check
from lepton_ai.cleaning.findings import ORDER, Finding


def hold(check: Check[Any], dirty: Any, clean: Any, columns: set[str]) -> None:
    """A check says what it looks for, finds it where it is, the same each time, and says all that a finding owes."""
    assert check.name.replace("_", "").isalpha() and check.name.islower()
    assert check.about and check.about[0].islower() and not check.about.endswith(".")
    assert type(check).__doc__
    assert check.why_not(dirty) == "", "the dirty data has all that the check needs"
    findings = list(check.run(dirty))
    assert findings, "the dirty data has the fault"
    assert findings == list(check.run(dirty)), "a check is a function of its subject"
    for finding in findings:
        hold_finding(finding, check.name, dirty.rows, columns)
    if not check.why_not(clean):
        found = [each for each in check.run(clean) if each.severity == "error"]
        assert not found, "clean data has no errors"


def hold_finding(finding: Finding, name: str, rows: int, columns: set[str]) -> None:
    """A finding's parts fit each other and the data."""
    assert finding.check == name and finding.severity in ORDER
    assert finding.title and finding.count > 0
    assert finding.evidence and not finding.evidence.endswith("."), "a clause, which pages end themselves"
    assert finding.remedy and not finding.remedy.endswith(".")
    assert set(finding.columns) <= columns
    for places in (finding.rows, finding.action_rows):
        assert list(places) == sorted(set(places)), "rows are sorted, each once"
        assert all(isinstance(row, int) and 0 <= row < rows for row in places)
    assert not finding.safe or finding.action != "keep", "nothing to do is not done"
    assert (finding.action == "replace") == bool(finding.replacements)
    assert finding.action != "drop columns" or finding.columns
    assert np.isin(finding.action_rows, finding.rows).all()
