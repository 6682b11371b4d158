"""Devices, and the state of this process that a plan sets and gives back."""

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lepton_ai.core import ConfigError, this_machine
from lepton_ai.hal.plan import ExecutionPlan

# glibc's mallopt parameters. By default it gives freed tensors of more than 128 KiB back to the kernel, which
# then hands out zeroed pages again in the next step: page faults that cost more than small kernels do.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEEP, _DEFAULT = 2**30, 128 * 2**10
_PAUSE_HARD = 2  # of OpenMP's omp_pause_resource_t: all threads end


def get_device(name: str = "auto") -> torch.device:
    """`"auto"` is the first accelerator, else the CPU; other names are torch's.

    Raises: ConfigError for a device that this machine does not have.
    """
    if name == "auto":
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]})", fix='Use "auto" or "cpu".'
        ) from error
    return device


def place(module: nn.Module, plan: ExecutionPlan, device: torch.device) -> None:
    """Put a module's weights on `device`, in the layout of `plan`. Training and inference must agree on both: the
    kernels of two layouts differ in the last bits."""
    module.to(device)
    if plan.channels_last:
        # One by one: `module.to(memory_format=...)` asks it of weights of every rank, and 5-D ones refuse.
        for parameter in module.parameters():
            if parameter.ndim == 4 and not _channels_last(parameter.data):
                # `contiguous` would leave the strides of a single channel, by which torch's kernels go, as they are.
                moved = parameter.data.movedim(1, -1).clone(memory_format=torch.contiguous_format)
                parameter.data = moved.movedim(-1, 1)


def _channels_last(weight: torch.Tensor) -> bool:
    _, channels, height, width = weight.shape
    return weight.stride() == (channels * height * width, 1, channels * width, channels)


def _mallopt(threshold: int) -> None:
    if this_machine().allocator == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, threshold)
        libc.mallopt(_TRIM_THRESHOLD, threshold)


@functools.cache
def _openmp() -> Any:
    """The library whose threads torch computes with; None if it is not GNU's."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = [line.split()[-1] for line in lines if "libgomp" in line]
    # Other packages bring copies of their own, which know nothing of torch's threads.
    paths.sort(key=lambda path: not path.startswith(str(Path(torch.__file__).parent)))
    return ctypes.CDLL(paths[0]) if paths else None


def _flush_denormals(on: bool) -> None:
    torch.set_flush_denormal(on)
    # Threads take the setting over from the one that starts them, so those that there are must start anew. A forked
    # process computes with one, and must not touch those of its parent.
    if torch.get_num_threads() > 1 and _openmp() is not None:
        _openmp().omp_pause_resource_all(_PAUSE_HARD)


def _flushes_denormals() -> bool:
    return bool(torch.tensor(1e-40) * 1 == 0)


@contextlib.contextmanager
def applied(plan: ExecutionPlan, *, training: bool = False) -> Iterator[torch.device]:
    """Set this process up as `plan` says, yield the device, and give everything back at the end.

    glibc cannot tell its old thresholds, so they go back to glibc's documented defaults.
    """
    device = get_device(plan.device)
    threads = torch.get_num_threads()
    flush = training and device.type == "cpu" and plan.flush_denormals and not _flushes_denormals()
    try:
        if flush:
            _flush_denormals(True)
        if plan.allocator and device.type == "cpu":
            _mallopt(_KEEP)
        if plan.threads is not None:
            torch.set_num_threads(plan.threads)
        # Its cache would keep the weights as they were at the first step: it is emptied only where the block ends.
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bfloat16", cache_enabled=False):
            yield device
    finally:
        torch.set_num_threads(threads)
        if flush:
            _flush_denormals(False)
        if plan.allocator and device.type == "cpu":
            _mallopt(_DEFAULT)
