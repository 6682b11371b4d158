"""What this machine is."""

import os

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


def test_a_quota_below_one_core_still_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores_granted", lambda: 0.5)
    assert machine._cores() == 1
