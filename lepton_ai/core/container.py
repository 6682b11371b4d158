"""What this process may use of the machine, as its container says: by control groups of version 2, or of version 1."""

import math
import os
from pathlib import Path

_ROOT = Path("/")
_GROUP = "sys/fs/cgroup"


def cores_granted(root: Path = _ROOT) -> float:
    """Cores that the container's quota grants, infinity without one."""
    group = root / _GROUP
    for files in ((group / "cpu.max",), (group / "cpu/cpu.cfs_quota_us", group / "cpu/cpu.cfs_period_us")):
        try:
            quota, period = (int(word) for path in files for word in path.read_text().split())
        except (OSError, ValueError):  # no such file, or no quota: "max"
            continue
        if quota > 0:  # version 1 has -1 for none
            return quota / period
    return math.inf


def memory_granted(root: Path = _ROOT) -> int | None:
    """Bytes of the machine, or of its container if that has fewer; None where nobody says."""
    found = [limit for limit, _ in _groups(root)]
    if hasattr(os, "sysconf"):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(found, default=None)


def memory_available(root: Path = _ROOT) -> int | None:
    """Bytes that this process may still take, by the machine and by its container; None where nobody says."""
    found = [max(0, limit - used) for limit, used in _groups(root)]
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError, IndexError):
        pass
    return min(found, default=None)


def _groups(root: Path) -> list[tuple[int, int]]:
    """Limit and use, in bytes, of the group that limits this process."""
    group = root / _GROUP
    found = []
    for folder, limit, current, cached in (
        (group, "memory.max", "memory.current", "inactive_file"),
        (group / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            # What the container holds of files can be taken back, and counts as used all the same.
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            used = int((folder / current).read_text()) - int(statistics.get(cached, 0))
            found.append((int((folder / limit).read_text()), used))
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
    return found
