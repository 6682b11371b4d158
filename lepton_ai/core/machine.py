"""What this machine is: the facts that plans, reports and results are labelled with."""

import os
import platform
import sys
from functools import lru_cache
from pathlib import Path

import msgspec

from lepton_ai.core.container import cores_granted, memory_granted


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Cores are those this process may use (affinity and container quota); memory is in bytes."""

    system: str
    processor: str
    cores: int
    memory: int
    cpu_flags: tuple[str, ...]
    allocator: str
    python: str

    def describe(self) -> str:
        """One line for people."""
        memory = f"{self.memory / 2**30:.0f} GiB"
        return f"{self.processor}, {self.cores} cores, {memory}, {self.system}, Python {self.python}"


def _cores() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, cores_granted())))


def _cpuinfo() -> tuple[str, tuple[str, ...]]:
    name = platform.processor() or platform.machine()
    flags: tuple[str, ...] = ()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = tuple(sorted(value.split()))
                break
    except OSError:
        pass
    return name, flags


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """The machine this process runs on; read once."""
    processor, flags = _cpuinfo()
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=processor,
        cores=_cores(),
        memory=memory_granted() or 0,
        cpu_flags=flags,
        allocator=platform.libc_ver()[0] or sys.platform,
        python=platform.python_version(),
    )
