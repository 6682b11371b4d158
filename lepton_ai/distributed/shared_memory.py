"""Sums through memory that the workers of one machine share.

A message through a socket wakes a thread at either end, and the kernel copies its bytes twice: a sum of four numbers
takes 300 us of cores that have the backward pass to do. Here each worker writes its part to a place of its own, waits
until all others have done so, and adds up what lies there.

The memory has no name in any file system, so nothing is left behind however the workers end. It is reached through the
leader's entry in /proc: by all workers, or it is not used.
"""

import contextlib
import ctypes
import mmap
import os
import select
import struct
import time
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

PLACE = 2**22
"""Bytes of one worker's place: what goes through at a time. It stays in the cache of its core."""

_LINE = 64  # bytes that two workers should not both write to; a sem_t fits
_UNABLE = (AttributeError, OSError, ValueError)  # another system than Linux, or one that forbids it
_PATIENCE = 0.1  # seconds between two looks at whether the others are alive


class _Time(ctypes.Structure):
    """The `timespec` of C."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class SharedMemory:
    """The places of `size` workers, seen by worker `rank`, in the memory behind `descriptor`.

    Each worker has two places, used by turns: one that is ahead writes to the one while others still read the other,
    and it cannot get further ahead, as it waits for all at each turn. Before them lie lines: a proof that this is the
    memory that was meant, one for each worker's process, and a semaphore for each pair of workers.
    """

    def __init__(self, descriptor: int, rank: int, size: int, timeout: float) -> None:
        self._processes: dict[int, int] = {}
        self.rank, self.size, self.timeout = rank, size, timeout
        head = (1 + size + size * size) * _LINE
        start = -(-head // mmap.PAGESIZE) * mmap.PAGESIZE
        if rank == 0:
            os.ftruncate(descriptor, start + 2 * size * PLACE)
        self._memory = mmap.mmap(descriptor, start + 2 * size * PLACE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._places = torch.frombuffer(self._memory, dtype=torch.uint8)[start:].view(2, size, PLACE)
        self._c = ctypes.CDLL(None)
        self._turn = 0
        self._others = [each for each in range(size) if each != rank]
        os.close(os.pidfd_open(os.getpid()))  # whether it can be done, while there is a choice

    def __del__(self) -> None:
        for each in self._processes.values():
            os.close(each)

    def sign(self, proof: bytes) -> bool:
        """Leave the number of this process, if this is the memory that begins with `proof`."""
        if self._memory[: len(proof)] != proof:
            return False
        self._memory[self._line(self.rank)] = os.getpid().to_bytes(8, "little")
        return True

    def prepare(self, proof: bytes) -> None:
        """Do what the leader does, before any other worker looks."""
        self._memory[: len(proof)] = proof
        for one in range(self.size):
            for other in range(self.size):
                self._c.sem_init(self._semaphore(one, other), 1, 0)

    def watch(self) -> None:
        """Find the processes of the others, when all have signed."""
        for other in self._others:
            try:
                self._processes[other] = os.pidfd_open(int.from_bytes(self._memory[self._line(other)], "little"))
            except ProcessLookupError:
                raise RuntimeError(f"worker {other} has ended") from None

    def add(self, parts: Tensor, out: Tensor) -> None:
        """Write to `out`, `(elements,)`, the sum of all workers' `parts`, `(rows, elements)`: by worker, then by row.

        Raises: RuntimeError when another worker has died, or does not come within `timeout` seconds.
        """
        rows, elements = parts.shape
        step = PLACE // (rows * parts.element_size())
        for start in range(0, elements, step):
            part, into = parts[:, start : start + step], out[start : start + step]
            places = self._places[self._turn].view(parts.dtype)[:, : part.numel()].view(self.size, *part.shape)
            self._turn = 1 - self._turn
            places[self.rank].copy_(part)
            self._meet()
            first, second, *more = places.flatten(0, 1).unbind()
            torch.add(first, second, out=into)
            for each in more:
                into += each

    def _meet(self) -> None:
        """Return when all workers are here."""
        for other in self._others:
            self._c.sem_post(self._semaphore(other, self.rank))
        for other in self._others:
            self._wait(self._semaphore(self.rank, other), other)

    def _wait(self, semaphore: ctypes.c_void_p, other: int) -> None:
        if not self._c.sem_trywait(semaphore):
            return
        deadline = time.monotonic() + self.timeout
        while not self._posted(semaphore):
            if self._ended(other) and self._c.sem_trywait(semaphore):
                raise RuntimeError(f"worker {other} has ended")
            if time.monotonic() > deadline:
                raise RuntimeError(f"worker {other} did not come within {self.timeout:g} s")

    def _posted(self, semaphore: ctypes.c_void_p) -> bool:
        seconds, fraction = divmod(time.time() + _PATIENCE, 1)
        until = _Time(int(seconds), int(fraction * 1e9))
        return not self._c.sem_timedwait(semaphore, ctypes.byref(until))

    def _ended(self, other: int) -> bool:
        watched = select.poll()
        watched.register(self._processes[other], select.POLLIN)
        return bool(watched.poll(0))

    def _semaphore(self, one: int, other: int) -> ctypes.c_void_p:
        """What `one` waits at for `other`."""
        return ctypes.c_void_p(self._address + (1 + self.size * (1 + one) + other) * _LINE)

    def _line(self, rank: int) -> slice:
        return slice((1 + rank) * _LINE, (1 + rank) * _LINE + 8)


_common: WeakKeyDictionary[dist.ProcessGroup, SharedMemory | None] = WeakKeyDictionary()


def common_memory() -> SharedMemory | None:
    """The memory that the workers of the present process group share; None where they cannot.

    The first call is an exchange: all workers make it at the same point.
    """
    group = dist.group.WORLD
    assert group is not None
    if group not in _common:
        _common[group] = _shared(group)
    return _common[group]


def _shared(group: dist.ProcessGroup) -> SharedMemory | None:
    rank, size = group.rank(), group.size()
    timeout = group._get_backend(torch.device("cpu")).options._timeout.total_seconds()
    memory: SharedMemory | None = None
    # A process of the same number on another machine, or in another container, has other memory or none.
    card = torch.zeros(_LINE + 16, dtype=torch.uint8)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(*_UNABLE):
            if rank == 0:
                descriptor = os.memfd_create("lepton")
                stack.callback(os.close, descriptor)
                memory = SharedMemory(descriptor, rank, size, timeout)
                proof = os.urandom(_LINE)
                memory.prepare(proof)
                card = torch.frombuffer(
                    bytearray(proof + struct.pack("qq", os.getpid(), descriptor)), dtype=torch.uint8
                )
        dist.broadcast(card, 0)
        with contextlib.suppress(*_UNABLE):
            content = card.numpy().tobytes()
            if rank:
                descriptor = os.open("/proc/{}/fd/{}".format(*struct.unpack("qq", content[_LINE:])), os.O_RDWR)
                stack.callback(os.close, descriptor)
                memory = SharedMemory(descriptor, rank, size, timeout)
            if memory is not None and not memory.sign(content[:_LINE]):
                memory = None
        fit = torch.tensor(float(memory is not None))
        dist.all_reduce(fit)
    if memory is None or int(fit) < size:
        return None
    memory.watch()
    return memory
