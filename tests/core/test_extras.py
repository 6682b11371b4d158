"""Optional packages."""

import sys
from pathlib import Path

import pytest

from lepton_ai.core import MissingExtraError, load_extra


def test_a_package_that_is_there_is_imported() -> None:
    assert load_extra("json.decoder", extra="data", purpose="reading") is sys.modules["json.decoder"]


def test_a_missing_package_names_the_extra_to_install() -> None:
    expected = (
        r"^read_csv needs the package 'no_such_package', which does not import here "
        r"\(No module named 'no_such_package'\)\. Install it: pip install 'lepton-ai\[data\]'\.$"
    )
    with pytest.raises(MissingExtraError, match=expected):
        load_extra("no_such_package.sub", extra="data", purpose="read_csv")


def test_a_package_that_breaks_on_import_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_extra.py").write_text("raise OSError('libfoo.so is missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"does not import here \(libfoo\.so is missing\)") as caught:
        load_extra("broken_extra", extra="data", purpose="read_csv")
    assert isinstance(caught.value, ImportError)
