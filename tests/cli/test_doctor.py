"""`lepton doctor`."""

import json

import pytest

import lepton_ai
from lepton_ai.cli import doctor
from lepton_ai.core import this_machine
from tests.contracts.command import Terminal


def test_it_describes_the_machine(lepton: Terminal) -> None:
    done = lepton("doctor")
    assert done.code == 0 and done.err == ""
    facts = dict(line.split(maxsplit=1) for line in done.out.split("\n\n")[0].splitlines())
    assert facts["lepton"] == lepton_ai.__version__ and facts["cores"] == str(this_machine().cores)
    assert facts["devices"].startswith("cpu")
    assert "\nframework\n  torch          2.13" in done.out


def test_json(lepton: Terminal) -> None:
    facts = json.loads(lepton("doctor", "--json").out)
    assert facts["cores"] >= 1 and facts["memory_gib"] > 0 and facts["devices"][0] == "cpu"
    assert facts["packages"]["serving"]["httptools"]


def test_it_names_what_to_install(lepton: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"serving": ("no-such-package",), "demo (extra)": ("no-such-client", "numpy"), "framework": ("numpy",)}
    monkeypatch.setattr(doctor, "PARTS", parts)
    lines = lepton("doctor").out.splitlines()
    assert "  no-such-package not installed" in lines
    assert lines.count("  install with: pip install 'lepton-ai[demo]'") == 1
    assert lines.count("  install with: pip install 'lepton-ai'") == 1
    assert len([line for line in lines if "install with" in line]) == 2


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("avx2", "avx512_vnni"), "native"),
        (("avx_vnni",), "native"),
        (("asimddp",), "native"),
        (("avx2",), "reduced range"),
        ((), "unknown"),
    ],
)
def test_int8(flags: tuple[str, ...], word: str) -> None:
    assert word in doctor._int8(flags)
