"""Batch normalisation over parts of a batch in several processes: as over the whole in one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lepton_ai.distributed import World, launch
from lepton_ai.layers import BatchNormalization, Dense, normalizes_batches, pooled

PARTS = [4, 3, 0]  # rows of each worker; the last one has none


def batch(*shape: int) -> Tensor:
    return torch.randn(sum(PARTS), *shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2 + 5


def parts(whole: Tensor) -> list[Tensor]:
    return list(torch.split(whole, PARTS))


def lepton_norm(channels: int, **options: Any) -> nn.Module:
    layer = BatchNormalization(momentum=0.9, **options)
    layer(torch.zeros(1, 2, channels))
    return layer.double().train()


def run(layer: nn.Module, inputs: list[Tensor], folder: Path, masks: list[Tensor] | None = None) -> Iterator[Any]:
    """Output, gradient of the input, summed gradients of the weights, buffers: of each worker."""

    def work(world: World) -> None:
        x = inputs[world.rank]
        empty = len(x) == 0
        x = (torch.full((1, *x.shape[1:]), float("inf"), dtype=x.dtype) if empty else x.clone()).requires_grad_()
        with pooled(layer, world.sum) as pool:
            assert pool is not None
            pool.empty = empty
            keywords = {}
            if masks is not None:
                keywords["mask"] = torch.ones(1, x.shape[1], dtype=torch.bool) if empty else masks[world.rank]
            y = layer(x, **keywords)
            if empty:
                y.backward(torch.zeros_like(y))
            else:
                y.sin().sum().backward()
        weights = [
            world.sum(torch.zeros_like(each) if empty or each.grad is None else each.grad)
            for each in layer.parameters()
        ]
        torch.save([y, x.grad, weights, list(layer.buffers())], folder / f"rank-{world.rank}")

    launch(work, len(inputs), folder)
    for rank in range(len(inputs)):
        yield torch.load(folder / f"rank-{rank}")


def whole(layer: nn.Module, x: Tensor, **keywords: Any) -> list[Any]:
    x = x.clone().requires_grad_()
    y = layer(x, **keywords)
    y.sin().sum().backward()
    return [y, x.grad, [each.grad for each in layer.parameters()], list(layer.buffers())]


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"axis": 1}], ids=str)
def test_parts_are_normalised_as_the_whole(options: Any, tmp_path: Path) -> None:
    channels = 5
    shape = (channels, 6) if options.get("axis") == 1 else (6, channels)
    layer = lepton_norm(channels, **{key: value for key, value in options.items() if key != "axis"})
    if options.get("axis") == 1:
        layer = BatchNormalization(axis=1, momentum=0.9)
        layer(torch.zeros(1, *shape))
        layer = layer.double().train()
    x = batch(*shape)
    found = list(run(layer, parts(x), tmp_path))
    y, gradient, weights, buffers = whole(layer, x)
    for rank, (mine, my_gradient, my_weights, my_buffers) in enumerate(found[:2]):
        torch.testing.assert_close(mine, parts(y)[rank], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_gradient, parts(gradient)[rank], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_weights, weights, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_buffers, buffers, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[2][3], buffers, rtol=1e-9, atol=1e-9)


def test_masked_steps_of_all_parts_do_not_count(tmp_path: Path) -> None:
    layer, x = lepton_norm(3), batch(4, 3)
    mask = torch.arange(4)[None] < torch.tensor([1, 4, 2, 3, 4, 1, 2])[:, None]
    found = list(run(layer, parts(x), tmp_path, parts(mask)))
    y, gradient, weights, buffers = whole(layer, x, mask=mask)
    for rank, (mine, my_gradient, my_weights, my_buffers) in enumerate(found[:2]):
        torch.testing.assert_close(mine, parts(y)[rank], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_gradient, parts(gradient)[rank], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_weights, weights, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_buffers, buffers, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_torch_s_own_layers_too(momentum: float | None, tmp_path: Path) -> None:
    module = nn.Sequential(nn.BatchNorm2d(5, momentum=momentum)).double()
    x = batch(5, 3, 2)
    found = list(run(module, parts(x), tmp_path))
    y, gradient, weights, buffers = whole(module, x)
    for rank, (mine, my_gradient, my_weights, my_buffers) in enumerate(found[:2]):
        torch.testing.assert_close(mine, parts(y)[rank], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_gradient, parts(gradient)[rank], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_weights, weights, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(my_buffers, buffers, rtol=1e-9, atol=1e-9)


def test_outside_all_is_as_before() -> None:
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    layer = lepton_norm(2)
    with pooled(module, lambda tensor: tensor), pooled(layer, lambda tensor: tensor) as pool:
        assert vars(layer)["pool"] is pool
        assert "forward" in vars(module[0])
    assert vars(layer)["pool"] is None
    assert "forward" not in vars(module[0])


def test_alone_nobody_is_asked() -> None:
    def ask(tensor: Tensor) -> Tensor:
        raise AssertionError("asked")

    layer = lepton_norm(2)
    x = batch(4, 2)
    with pooled(layer, ask) as pool:
        assert pool is not None
        with pool.alone():
            alone = layer(x)
        with pytest.raises(AssertionError, match="asked"):
            layer(x)
    torch.testing.assert_close(alone, layer(x))


def test_modules_that_normalise_batches_are_known() -> None:
    assert normalizes_batches(nn.Sequential(nn.BatchNorm1d(2)))
    assert normalizes_batches(lepton_norm(2))
    dense = Dense(3)
    assert not normalizes_batches(dense)
    with pooled(dense, lambda tensor: tensor) as pool:
        assert pool is None
