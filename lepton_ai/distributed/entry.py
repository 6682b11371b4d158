"""What each worker of `lepton launch` runs: `python -m lepton_ai.distributed.entry WORKERS PROGRAM ARGUMENT...`."""

import os
import runpy
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from lepton_ai.core import this_machine
from lepton_ai.distributed.roll_call import LOST, LostWorkerError


@record
def run(path: str) -> None:
    """Run a program as if it had been called itself."""
    sys.path[0] = str(Path(path).resolve().parent)
    runpy.run_path(path, run_name="__main__")
    if dist.is_initialized():
        dist.destroy_process_group()


def main(workers: int, program: list[str]) -> int:
    """Run `program`, a path and its arguments, as one of `workers`; the exit status."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(max(1, this_machine().cores // workers))
    sys.argv = program
    try:
        run(program[0])
    except LostWorkerError:
        return LOST
    except Exception:  # the launcher shows what was recorded
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
