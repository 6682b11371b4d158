"""Errors planted in real data are found: each check keeps its floor of precision and recall."""

import pytest

from benchmarks.planted import CASES, Case, score
from lepton_ai.cleaning.examining import IMAGE_CHECKS, TABLE_CHECKS


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.check}-{case.data}-{case.what}")
def test_planted_errors_are_found(case: Case) -> None:
    found = case.run()
    assert found.precision >= case.precision, found
    assert found.recall >= case.recall, found


def test_every_check_that_marks_by_measure_has_a_case() -> None:
    # The others mark what is so by definition: a rule that is stated, a class of three rows, a column that is gone.
    exact = {"broken_rules", "broken_text", "class_balance", "drifted_columns", "empty_rows", "image_sizes"}
    exact |= {"missing_target", "rare_values", "shared_groups", "shared_images", "spellings", "time_overlap"}
    assert {case.check for case in CASES} == {*TABLE_CHECKS, *IMAGE_CHECKS} - exact


def test_a_score_counts_what_is_marked_without_cause() -> None:
    found = score([1, 2, 3, 4], [3, 4, 5])
    assert (found.planted, found.marked, found.hits) == (4, 3, 2)
    assert (round(found.precision, 3), found.recall) == (0.667, 0.5)
    assert score([1], []).precision == 0.0 and score([], []).recall == 1.0
