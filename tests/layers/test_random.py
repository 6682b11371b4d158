"""Random layers draw from a row's place in the run and nothing else."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers, rng
from lepton_ai.core import ShapeError
from tests.contracts.layer import noise

MAKERS: dict[str, Any] = {
    "dropout": lambda seed=None: layers.Dropout(0.5, seed=seed),
    "alpha": lambda seed=None: layers.AlphaDropout(0.5, seed=seed),
    "spatial": lambda seed=None: layers.SpatialDropout2D(0.5, seed=seed),
    "noise": lambda seed=None: layers.GaussianNoise(0.5, seed=seed),
    "factors": lambda seed=None: layers.GaussianDropout(0.5, seed=seed),
    "flip": lambda seed=None: layers.RandomFlip(seed=seed),
    "translation": lambda seed=None: layers.RandomTranslation(0.3, 0.3, seed=seed),
}
every = pytest.mark.parametrize("kind", MAKERS)
IMAGES = noise(24, 5, 6, 3)


def train(layer: layers.Layer, order: torch.Tensor, *, seed: int = 0, epoch: int = 0, path: str = "here") -> Any:
    """The layer's answer for the rows at the places `order` of the epoch."""
    layer.path = path
    context = rng.StepContext(seed=seed, epoch=epoch, positions=order.to(torch.int32))
    with rng.step_context(context):
        return layer.train()(IMAGES[order])


@every
@given(order=st.permutations(range(24)), size=st.integers(1, 24))
@settings(max_examples=20, deadline=None)
def test_a_row_draws_the_same_in_any_batch_and_order(kind: str, order: list[int], size: int) -> None:
    layer = MAKERS[kind]()
    whole = train(layer, torch.arange(24))
    for start in range(0, 24, size):
        places = torch.tensor(order[start : start + size])
        assert torch.equal(train(layer, places), whole[places])


@every
def test_seed_epoch_path_and_call_make_other_draws(kind: str) -> None:
    order = torch.arange(24)
    first = train(MAKERS[kind](), order)
    assert torch.equal(train(MAKERS[kind](), order), first)
    others = [
        train(MAKERS[kind](), order, seed=1), train(MAKERS[kind](), order, epoch=1),
        train(MAKERS[kind](), order, path="there"), train(MAKERS[kind](seed=7), order),
    ]  # fmt: skip
    assert not any(torch.equal(first, other) for other in others)
    layer = MAKERS[kind]().train()
    with rng.step_context(rng.StepContext(seed=0, epoch=0, positions=order)):
        assert not torch.equal(layer(IMAGES), layer(IMAGES))


@every
def test_plain_torch_use_follows_torchs_seed(kind: str) -> None:
    layer = MAKERS[kind]().train()
    torch.manual_seed(3)
    first, second = layer(IMAGES), layer(IMAGES)
    torch.manual_seed(3)
    assert torch.equal(layer(IMAGES), first) and not torch.equal(first, second)


@every
def test_identity_at_inference(kind: str) -> None:
    assert torch.equal(MAKERS[kind]()(IMAGES), IMAGES)


def test_every_random_layer_keeps_the_contract() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    here = {type(make()) for make in MAKERS.values()}
    for name in layers.__all__:
        value = getattr(layers, name)
        if isinstance(value, type) and issubclass(value, layers.RandomLayer) and not inspect.isabstract(value):
            kept = any(f"class Test{name}({base})" in tests for base in ("RandomImages", "RandomSeries"))
            # What folds space or dimensions is one class in several ranks.
            assert kept or any(issubclass(value, each) or issubclass(each, value) for each in here), name


def test_time_folded_into_the_batch() -> None:
    layer = layers.Dropout(0.5).train()
    layer.path = "here"
    x = torch.ones(4, 3, 5)

    def run(x: torch.Tensor) -> Any:
        with rng.step_context(rng.StepContext(seed=0, epoch=0, positions=torch.arange(4, dtype=torch.int32))):
            return layer(x)

    assert torch.equal(run(x.view(12, 5)).view(4, 3, 5), run(x))
    with pytest.raises(ShapeError, match=r"got \(5, 2\), expected a batch of 4 rows, as the step has"):
        run(torch.ones(5, 2))


def test_uniform_draws() -> None:
    draws = layers.Draws(torch.arange(500, dtype=torch.int32), 11)
    values = draws.uniform(200)
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < 0.005 and abs(values.var() - 1 / 12) < 0.001


def test_bounds_and_forks() -> None:
    draws = layers.Draws(torch.arange(2000, dtype=torch.int32), 11)
    drawn = draws.between((-1.0, 3.0), (5.0, 5.0), (0.0, 1.0))
    assert drawn[:, 0].min() >= -1 and drawn[:, 0].max() < 3 and abs(drawn[:, 0].mean() - 1) < 0.1
    assert torch.equal(drawn[:, 1], torch.full((2000,), 5.0))
    assert torch.equal(drawn[:, 2], draws.uniform(3)[:, 2])
    parts = [draws.uniform(1), draws.fork("a").uniform(1), draws.fork("b").uniform(1), draws.fork("a", 1).uniform(1)]
    correlation = torch.corrcoef(torch.cat(parts, 1).T) - torch.eye(4)
    assert correlation.abs().max() < 0.08
    assert torch.equal(parts[1], draws.fork("a").uniform(1))


def test_odd_counts_and_empty_batches() -> None:
    draws = layers.Draws(torch.arange(3, dtype=torch.int32), 11)
    assert torch.equal(draws.keep((3, 7), 0.5), draws.keep((3, 8), 0.5)[:, :7])
    assert draws.normal((3, 7)).shape == (3, 7) and draws.normal((6, 2, 2)).shape == (6, 2, 2)
    empty = layers.Draws(torch.arange(0, dtype=torch.int32), 11)
    assert empty.keep((0, 7), 0.5).shape == (0, 7)
