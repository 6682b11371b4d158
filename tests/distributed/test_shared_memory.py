"""Sums through memory that workers share."""

import multiprocessing
import os
import time
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.distributed import World, launch, shared_memory

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=12)


@pytest.mark.parametrize("workers", [2, 3])
def test_sums_of_all_sizes_and_kinds(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "PLACE", 64)  # sums in several turns

    def work(world: World) -> None:
        assert world.memory(torch.device("cpu")) is not None

        @settings(max_examples=60, deadline=None, derandomize=True, database=None)
        @given(LENGTHS, st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64]))
        def check(lengths: list[int], dtype: torch.dtype) -> None:
            for length in lengths:
                parts = [(torch.arange(length) * (rank + 1) + length).to(dtype) for rank in range(workers)]
                found = world.sum(parts[world.rank].clone())
                total = parts[0].clone()
                for part in parts[1:]:
                    total += part
                assert torch.equal(found, total)

        check()

    launch(work, workers, tmp_path)


def test_a_worker_may_be_late_but_not_overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "PLACE", 64)

    def work(world: World) -> None:
        naps = torch.rand(40, generator=torch.Generator().manual_seed(world.rank)) / 500
        for number, nap in enumerate(naps.tolist()):
            time.sleep(nap)
            assert world.sum(torch.full((40,), number * 10 + world.rank)).tolist() == [number * 30 + 3] * 40

    launch(work, 3, tmp_path)


@pytest.mark.parametrize("unable", [0, 1])
def test_without_it_for_one_worker_all_use_sockets(
    unable: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = shared_memory.SharedMemory

    def work(world: World) -> None:
        def refused(*arguments: object) -> None:
            if world.rank == unable:
                raise PermissionError(1, "Operation not permitted")
            made(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(shared_memory, "SharedMemory", refused)
        assert world.sum(torch.ones(3)).tolist() == [2.0] * 3
        assert world.memory(torch.device("cpu")) is None

    launch(work, 2, tmp_path)


PROOF = b"this is what was meant"


def two(timeout: float, life: float) -> tuple[shared_memory.SharedMemory, ForkProcess]:
    """The memory as the leader sees it, and another worker, which ends after `life` seconds without a word."""
    descriptor = os.memfd_create("test")
    memory = shared_memory.SharedMemory(descriptor, 0, 2, timeout)
    memory.prepare(PROOF)
    assert memory.sign(PROOF)
    context = multiprocessing.get_context("fork")
    signed = context.Event()

    def other() -> None:
        shared_memory.SharedMemory(descriptor, 1, 2, timeout).sign(PROOF)
        signed.set()
        time.sleep(life)

    process = context.Process(target=other)
    process.start()
    assert signed.wait(10)
    os.close(descriptor)
    memory.watch()
    return memory, process


def test_other_memory_is_not_taken_for_it() -> None:
    """A process of that number and a file of that size may exist on this machine too."""
    descriptor = os.memfd_create("test")
    memory = shared_memory.SharedMemory(descriptor, 0, 2, 1.0)
    os.close(descriptor)
    memory.prepare(b"this is something else")
    assert not memory.sign(PROOF)


def test_a_worker_that_ends_is_named_long_before_the_timeout() -> None:
    memory, process = two(timeout=60, life=0.3)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="worker 1 has ended"):
        memory.add(torch.ones(1, 3), torch.ones(3))
    assert time.monotonic() - began < 30
    process.join()


def test_a_worker_that_does_not_come_is_named_after_the_timeout() -> None:
    memory, process = two(timeout=0.3, life=60)
    with pytest.raises(RuntimeError, match="worker 1 did not come within 0.3 s"):
        memory.add(torch.ones(1, 3), torch.ones(3))
    process.kill()
    process.join()
