"""The demo's report in a real browser, and the command as a user starts it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.browser import BROWSER, measure

pytest.importorskip("mlxtend", exc_type=ImportError)
pytest.importorskip("tritonclient.http", exc_type=ImportError)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    folder = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "lepton_ai", "demo", "--epochs", "1", "--folder", str(folder)]
    return folder, subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_the_command(demo: "tuple[Path, subprocess.CompletedProcess[str]]") -> None:
    folder, done = demo
    assert done.returncode == 0 and done.stderr == ""
    said = " ".join(done.stdout.split())
    for words in ("4,000 to train on, 1,000 held out", "all 1,000 answers equal within", "Done in", "inspect", "serve"):
        assert words in said
    assert (folder / "report.html").is_file()


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [360, 1440])
def test_the_report_fits(demo: "tuple[Path, subprocess.CompletedProcess[str]]", width: int, tmp_path: Path) -> None:
    facts = measure((demo[0] / "report.html").read_text(encoding="utf-8"), width, tmp_path)
    assert facts["page"] == "1216px", "the stylesheet was not let in"
    assert facts["images"] and len(facts["texts"]) > 50
    assert facts["scroll"] <= facts["client"], "the page scrolls sideways"
    assert not [text for text in facts["texts"] if text["out"] > 1.5], "labels are cut off"
