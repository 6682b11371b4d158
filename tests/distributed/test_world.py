"""What workers tell each other; one alone takes the same path."""

import json
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from lepton_ai.core import WorkerError
from lepton_ai.distributed import World, launch


def test_one_alone_talks_to_nobody() -> None:
    world = World()
    tensor = torch.ones(2)
    assert world.leads
    assert world.sum(tensor) is tensor and world.most(tensor) is tensor
    assert world.agree([1.0, 2.0]) == [1.0, 2.0]
    assert world.told(b"text") == b"text"
    world.barrier()
    norm = nn.BatchNorm1d(2)
    world.average(norm)
    world.lead(norm)
    assert norm.running_mean is not None and torch.equal(norm.running_mean, torch.zeros(2))
    assert world.ordered_sum(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist() == [4.0, 6.0]


def test_the_leader_decides_and_averages_are_everyones(tmp_path: Path) -> None:
    norm = nn.BatchNorm1d(2)

    def work(world: World) -> None:
        assert norm.running_mean is not None
        norm.running_mean.fill_(float(world.rank))
        with torch.no_grad():
            norm.weight.fill_(float(world.rank + 1))
        world.average(norm)
        found = [world.agree([float(world.rank), 0.1 + world.rank]), norm.running_mean.tolist()]
        assert norm.weight.tolist() == [world.rank + 1.0] * 2
        world.average(norm, weights=True)
        found.append(norm.weight.tolist())
        found.append(world.most(torch.tensor([world.rank, -world.rank])).tolist())
        text = world.told(b"from the leader" if world.leads else b"")
        (tmp_path / f"rank-{world.rank}").write_text(json.dumps([*found, text.decode()]))

    launch(work, 3, tmp_path)
    expected = json.dumps([[0.0, 0.1], [1.0, 1.0], [2.0, 2.0], [2, 0], "from the leader"])
    assert {(tmp_path / f"rank-{rank}").read_text() for rank in range(3)} == {expected}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("elements", [1, 7, 64])
def test_sums_in_order_have_the_bits_of_one_worker(elements: int, tmp_path: Path) -> None:
    rows = torch.randn(4, elements, generator=torch.Generator().manual_seed(1)) * 10.0 ** torch.arange(4)[:, None]

    for workers in (2, 4):
        folder = tmp_path / str(workers)
        folder.mkdir()

        def work(world: World, folder: Path = folder) -> None:
            mine = rows.chunk(world.size)[world.rank]
            torch.save(world.ordered_sum(mine).clone(), folder / f"rank-{world.rank}")

        launch(work, workers, folder)
        for rank in range(workers):
            assert torch.equal(torch.load(folder / f"rank-{rank}"), World().ordered_sum(rows))


def test_all_get_the_leaders_weights(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def work(world: World) -> None:
        if world.rank:
            for value in module.state_dict().values():
                value.fill_(9)
        world.lead(module)
        torch.save(module.state_dict(), tmp_path / f"rank-{world.rank}")

    launch(work, 2, tmp_path)
    for rank in range(2):
        for name, value in torch.load(tmp_path / f"rank-{rank}").items():
            assert torch.equal(value, module.state_dict()[name])


def test_another_model_is_refused(tmp_path: Path) -> None:
    def work(world: World) -> None:
        world.lead(nn.Linear(2, 3 + world.rank))

    with pytest.raises(WorkerError, match=r"worker 1 of 2 does not train the model of all others: weight \(4, 2\)"):
        launch(work, 2, tmp_path)


def test_a_worker_that_does_not_answer_is_named_by_those_that_wait(tmp_path: Path) -> None:
    def work(world: World) -> None:
        world = World(world.rank, world.size, lambda: f"epoch 1, step {world.rank + 3}")
        if world.rank == 1:
            time.sleep(60)
        world.sum(torch.ones(1))

    started = time.monotonic()
    text = r"worker 0 of 3 waited \d s in epoch 1, step 3; so did worker 2 in epoch 1, step 5; missing: worker 1\. "
    with pytest.raises(WorkerError, match=text):
        launch(work, 3, tmp_path, timeout=1.0)
    assert time.monotonic() - started < 30
