"""Gradients over several workers: summed while the backward pass goes on, or after it."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from lepton_ai.distributed import FACTS, Gradients, World, launch

pytestmark = pytest.mark.usefixtures("way")


def facts(world: World) -> torch.Tensor:
    return torch.tensor([float(world.rank), 1.0, 0.0, 0.0])


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("begun", [True, False])
def test_gradients_and_facts_are_summed(workers: int, begun: bool, tmp_path: Path) -> None:
    layer = nn.Linear(2, 1)
    frozen, unused = nn.Parameter(torch.ones(3), requires_grad=False), nn.Parameter(torch.ones(2))

    def work(world: World) -> None:
        gradients = Gradients([*layer.parameters(), frozen, unused], world)
        for _ in range(2):
            if world.rank:  # rank 0 has no rows
                loss = layer(torch.full((1, 2), float(world.rank))).sum()
                if begun:
                    gradients.begin()
                loss.backward()
            total = gradients.end(facts(world))
            assert layer.weight.grad is not None and layer.bias.grad is not None and unused.grad is not None
            assert frozen.grad is None
            found = [layer.weight.grad.tolist(), layer.bias.grad.tolist(), unused.grad.tolist(), total.tolist()]
            for each in layer.parameters():
                each.grad = None
        gradients.close()
        (tmp_path / f"rank-{world.rank}").write_text(json.dumps(found))

    launch(work, workers, tmp_path)
    total = float(sum(range(workers)))
    expected = [[[total] * 2], [workers - 1.0], [0.0, 0.0], [total, float(workers), 0.0, 0.0]]
    for rank in range(workers):
        assert json.loads((tmp_path / f"rank-{rank}").read_text()) == expected


def test_gradients_of_many_buckets_leave_in_one_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("lepton_ai.distributed.gradients.BUCKET", 64)
    module = nn.Sequential(*[nn.Linear(8, 8) for _ in range(6)])

    def work(world: World) -> None:
        gradients = Gradients(module.parameters(), world)
        gradients.begin()
        module(torch.full((2, 8), world.rank + 1.0)).sum().backward()
        assert gradients.sent == (way == "sockets")
        gradients.end(torch.zeros(FACTS))
        torch.save([each.grad for each in module.parameters()], tmp_path / f"rank-{world.rank}")

    launch(work, 2, tmp_path)
    for value in (1.0, 2.0):
        module(torch.full((2, 8), value)).sum().backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"rank-{rank}")
        torch.testing.assert_close(found, [each.grad for each in module.parameters()])


def test_gradients_keep_their_memory_format(tmp_path: Path) -> None:
    conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def work(world: World) -> None:
        generator = torch.Generator().manual_seed(world.rank)
        gradients = Gradients(conv.parameters(), world)
        gradients.begin()
        conv(torch.randn(1, 3, 5, 5, generator=generator)).sum().backward()
        gradients.end(torch.zeros(FACTS))
        assert conv.weight.grad is not None and conv.weight.grad.stride() == conv.weight.stride()
        torch.save(conv.weight.grad, tmp_path / f"grad-{world.rank}")

    launch(work, 2, tmp_path)
    for rank in range(2):
        conv(torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(rank))).sum().backward()
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"grad-{rank}"), conv.weight.grad)


def test_gradients_as_bfloat16_and_facts_whole(tmp_path: Path) -> None:
    layer = nn.Linear(50, 1)

    def work(world: World) -> None:
        gradients = Gradients(layer.parameters(), world, torch.bfloat16)
        assert gradients.bytes_per_step == 2 * 51 + 2 * FACTS
        gradients.begin()
        layer(torch.full((1, 50), 1.01)).sum().backward()
        total = gradients.end(torch.tensor([1.0001, 0.0, 0.0, 0.0]))
        assert layer.weight.grad is not None and layer.weight.grad.dtype == torch.float32
        torch.testing.assert_close(layer.weight.grad, torch.full((1, 50), 2.02), rtol=0.01, atol=0)
        assert total[0].item() == pytest.approx(2.0002, rel=1e-6)

    launch(work, 2, tmp_path)


def test_nothing_to_train_still_shares_facts(tmp_path: Path) -> None:
    def work(world: World) -> None:
        assert Gradients([], world).end(facts(world)).tolist() == [1.0, 2.0, 0.0, 0.0]

    launch(work, 2, tmp_path)


def test_close_takes_the_hooks_off(tmp_path: Path) -> None:
    layer = nn.Linear(2, 1)

    def work(world: World) -> None:
        gradients = Gradients(layer.parameters(), world)
        gradients.begin()
        gradients.close()
        layer(torch.ones(1, 2)).sum().backward()
        assert not gradients.sent

    launch(work, 2, tmp_path)
