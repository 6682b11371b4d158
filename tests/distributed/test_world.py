"""What workers tell each other; one alone takes the same path."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from lepton_ai.distributed import World, launch


def test_one_alone_talks_to_nobody() -> None:
    world = World()
    tensor, loss = torch.ones(2), torch.tensor(3.0)
    assert world.leads
    assert world.sum(tensor) is tensor
    assert world.agree([1.0, 2.0]) == [1.0, 2.0]
    layer = nn.Linear(2, 1)
    assert world.sum_gradients(layer.parameters(), loss, True) == (loss, True)
    assert layer.weight.grad is None
    norm = nn.BatchNorm1d(2)
    world.average_buffers(norm)
    assert norm.running_mean is not None and torch.equal(norm.running_mean, torch.zeros(2))


@pytest.mark.parametrize("workers", [2, 3])
def test_gradients_loss_and_questions_are_summed(workers: int, tmp_path: Path) -> None:
    layer = nn.Linear(2, 1)
    frozen = nn.Parameter(torch.ones(3), requires_grad=False)

    def work(world: World) -> None:
        loss = torch.zeros(())
        if world.rank:  # rank 0 has no rows
            loss = layer(torch.full((1, 2), float(world.rank))).sum()
            loss.backward()
        total, asked = world.sum_gradients([*layer.parameters(), frozen], loss.detach(), world.rank == 1)
        assert layer.weight.grad is not None and layer.bias.grad is not None and frozen.grad is None
        found = [layer.weight.grad.tolist(), layer.bias.grad.tolist(), total.item(), asked]
        (tmp_path / f"rank-{world.rank}").write_text(json.dumps(found))

    launch(work, workers, tmp_path)
    ranks = range(1, workers)
    losses = sum(layer(torch.full((1, 2), float(rank))).item() for rank in ranks)
    for rank in range(workers):
        weight, bias, total, asked = json.loads((tmp_path / f"rank-{rank}").read_text())
        assert weight == [[float(sum(ranks))] * 2]
        assert bias == [float(len(ranks))]
        assert total == pytest.approx(losses)
        assert asked is True


def test_gradients_keep_their_memory_format(tmp_path: Path) -> None:
    conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def work(world: World) -> None:
        generator = torch.Generator().manual_seed(world.rank)
        loss = conv(torch.randn(1, 3, 5, 5, generator=generator)).sum()
        loss.backward()
        world.sum_gradients(conv.parameters(), loss.detach())
        assert conv.weight.grad is not None and conv.weight.grad.stride() == conv.weight.stride()
        torch.save(conv.weight.grad, tmp_path / f"grad-{world.rank}")

    launch(work, 2, tmp_path)
    for rank in range(2):
        conv(torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(rank))).sum().backward()
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"grad-{rank}"), conv.weight.grad)


def test_the_leader_decides_and_buffers_are_averaged(tmp_path: Path) -> None:
    norm = nn.BatchNorm1d(2)

    def work(world: World) -> None:
        assert norm.running_mean is not None
        norm.running_mean.fill_(float(world.rank))
        world.average_buffers(norm)
        found = [world.agree([float(world.rank), 0.1 + world.rank]), norm.running_mean.tolist()]
        (tmp_path / f"rank-{world.rank}").write_text(json.dumps(found))

    launch(work, 3, tmp_path)
    assert {(tmp_path / f"rank-{rank}").read_text() for rank in range(3)} == {json.dumps([[0.0, 0.1], [1.0, 1.0]])}
