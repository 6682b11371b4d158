"""The command `lepton`, run in this process as a terminal would see it; and as a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from lepton_ai.cli import main


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Terminal:
    """Runs `lepton ARGUMENTS` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capfd = monkeypatch, capfd

    def __call__(self, *arguments: object) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["lepton", *map(str, arguments)])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = self._capfd.readouterr()
        return Done(int(left.value.code or 0), out, err)

    def mistake(self, *arguments: object) -> str:
        """The one line that a user's mistake ends with."""
        done = self(*arguments)
        assert done.code == 1 and done.out == ""
        assert done.err.startswith("lepton: ") and done.err.count("\n") == 1
        return done.err.removeprefix("lepton: ").rstrip("\n")


def run_process(*arguments: object, prelude: str = "", cwd: Path | None = None) -> Done:
    """`lepton ARGUMENTS` as a process; afterwards it prints to stderr which heavy packages it had imported."""
    code = f"""
import atexit, sys
heavy = ("torch", "scipy", "sklearn", "pandas", "onnx")
atexit.register(lambda: print("imported", [name for name in heavy if name in sys.modules], file=sys.stderr))
{prelude}
from lepton_ai.cli import main
main()
"""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    return Done(done.returncode, done.stdout, done.stderr)
