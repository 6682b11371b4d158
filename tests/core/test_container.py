"""What a container grants, by control groups of both versions."""

import math
import os
from pathlib import Path

import pytest

from lepton_ai.core import memory_available
from lepton_ai.core.container import cores_granted, memory_granted

WHOLE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def second(limit: str) -> dict[str, str]:
    group = {"max": limit, "current": "2500000\n", "stat": "anon 1\ninactive_file 500000\n"}
    return {f"sys/fs/cgroup/memory.{name}": text for name, text in group.items()}


def first(limit: str) -> dict[str, str]:
    group = {"limit_in_bytes": limit, "usage_in_bytes": "2500000\n", "stat": "cache 1\ntotal_inactive_file 500000\n"}
    return {f"sys/fs/cgroup/memory/memory.{name}": text for name, text in group.items()}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, math.inf),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, math.inf),
        ({"cpu.max": "nonsense"}, math.inf),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, math.inf),
    ],
)
def test_cores(files: dict[str, str], cores: float, tmp_path: Path) -> None:
    assert cores_granted(write(tmp_path / "sys/fs/cgroup", files).parents[2] if files else tmp_path) == cores


@pytest.mark.parametrize("group", [first, second])
def test_memory(group: object, tmp_path: Path) -> None:
    assert callable(group)
    assert memory_granted(tmp_path) == WHOLE and memory_available(tmp_path) is None
    write(tmp_path, {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:   5000 kB\n"})
    assert memory_available(tmp_path) == 5000 * 1024
    write(tmp_path, group("3000000\n"))
    assert memory_granted(tmp_path) == 3_000_000
    assert memory_available(tmp_path) == 1_000_000, "what is only cached can be taken back"
    write(tmp_path, group("2000000\n"))
    assert memory_available(tmp_path) == 0
    write(tmp_path, group("max\n" if group is second else f"{2**63 - 4096}\n"))
    assert memory_granted(tmp_path) == WHOLE and memory_available(tmp_path) == 5000 * 1024


def test_of_this_machine() -> None:
    granted, available = memory_granted(), memory_available()
    assert granted is not None and available is not None and 2**20 < available < granted
