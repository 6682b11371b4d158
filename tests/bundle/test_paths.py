"""File names that stay inside."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.bundle.paths import check_file_name
from lepton_ai.core import BundleError

EVIL = ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a\\b", "..\\x", "C:x", "a\nb", "a\x00b", "~/../x/.."]


@pytest.mark.parametrize("name", EVIL)
def test_names_that_lead_outside(name: str) -> None:
    with pytest.raises(BundleError, match="a file name that may lead outside the bundle"):
        check_file_name(name)


@given(name=st.text(alphabet="./\\a:\x00~", max_size=12))
@settings(max_examples=100, deadline=None)
def test_whatever_passes_stays_inside(name: str) -> None:
    try:
        check_file_name(name)
    except BundleError:
        return
    assert Path("/bundle", name).resolve().is_relative_to("/bundle") and Path("/bundle", name) != Path("/bundle")
