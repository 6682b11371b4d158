"""What this machine is."""

import os
from pathlib import Path

import msgspec
import pytest

from lepton_ai.core import Machine, machine, this_machine


def test_this_machine_is_read_once_and_makes_sense() -> None:
    found = this_machine()
    assert found is this_machine()
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.memory >= 2**28
    assert found.cpu_flags == tuple(sorted(found.cpu_flags))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Machine) == found


def test_a_machine_in_one_line() -> None:
    made = Machine(
        system="Linux 6.1", processor="Some CPU", cores=2, memory=24 * 2**30, cpu_flags=(), allocator="glibc",
        python="3.11.7",
    )  # fmt: skip
    assert made.describe() == "Some CPU, 2 cores, 24 GiB, Linux 6.1, Python 3.11.7"


@pytest.mark.parametrize(
    ("content", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", float("inf")), ("nonsense", float("inf"))]
)
def test_the_container_s_quota(tmp_path: Path, content: str, cores: float) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert machine._quota(tmp_path) == cores


def test_no_container_no_quota(tmp_path: Path) -> None:
    assert machine._quota(tmp_path) == float("inf")
    assert machine._memory(tmp_path) == machine._memory(tmp_path / "none") > 0


@pytest.mark.parametrize(("content", "limited"), [("1048576\n", True), ("max\n", False), (f"{2**62}\n", False)])
def test_the_container_s_memory(tmp_path: Path, content: str, limited: bool) -> None:
    (tmp_path / "memory.max").write_text(content)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine._memory(tmp_path) == (2**20 if limited else whole)


def test_a_quota_below_one_core_still_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_quota", lambda: 0.5)
    assert machine._cores() == 1
