"""Mixing: what a row becomes, what it is trained for, and that this depends on its place alone."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError, StorageError, UsageError
from lepton_ai.data import Arrays, Batch, Loader
from lepton_ai.layers import Conv2D, Dense, Input, RandomBrightness, RandomFlip, RandomRotation
from lepton_ai.models import Model, Sequential, distributed_train
from lepton_ai.rng import StepContext
from lepton_ai.training import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CutMix,
    LambdaCallback,
    MixUp,
    Objective,
    SparseCategoricalCrossentropy,
)
from lepton_ai.training.mixing import augmented, beta, partners
from tests.contracts.fitting import cnn, compiled, images, mlp, same_state, table

ROWS = torch.arange(8, dtype=torch.int32)


def context(rows: Tensor = ROWS, seed: int = 0, epoch: int = 0) -> StepContext:
    return StepContext(seed=seed, epoch=epoch, positions=rows)


def batch(x: Any, y: Any, rows: Tensor = ROWS, weight: Tensor | None = None) -> Batch:
    return Batch(x, y, weight, rows, len(rows))


def bound(loss: Any, outputs: Tensor, y: Any = None) -> Objective:
    objective = Objective(loss)
    objective.bind(outputs, None, y)
    return objective


def loss_of(objective: Objective, outputs: Any, parts: list[Batch]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for part in parts:
        total = total + objective.total(objective.losses(outputs, part))
    return total


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 4.0])
def test_shares_are_beta(alpha: float) -> None:
    rows = torch.arange(20_000, dtype=torch.int32)
    share = beta(context(rows), "mix_up", alpha)
    assert bool(((share >= 0) & (share <= 1)).all())
    lower = share[share < 0.5].double().numpy()  # float32 has no numbers just below 1
    found = stats.kstest(lower, lambda x: 2 * stats.beta(alpha, alpha).cdf(x))
    assert found.pvalue > 1e-3 and abs(len(lower) / 20_000 - 0.5) < 0.015
    parts = [beta(context(each), "mix_up", alpha) for each in torch.tensor_split(rows, 1500)]
    assert torch.equal(torch.cat(parts), share)
    assert not torch.equal(beta(context(rows, epoch=1), "mix_up", alpha), share)


@given(first=st.integers(0, 50), size=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_partners_are_neighbours(first: int, size: int) -> None:
    rows = partners(torch.arange(first, first + size, dtype=torch.int32)).tolist()
    for row, there in enumerate(rows):
        assert rows[there] == row
        assert there == row or (first + there) == (first + row) ^ 1
    assert sum(row == there for row, there in enumerate(rows)) == (first % 2 + (first + size) % 2 if size else 0)


@given(first=st.integers(0, 40), rows=st.integers(0, 40), world=st.integers(1, 7), steps=st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_workers_get_whole_pairs_of_the_same_rows(first: int, rows: int, world: int, steps: int) -> None:
    source = Arrays(np.arange(first + rows + 1))
    whole = Loader(source, steps, shuffle=True, pairs=True)
    shares = [whole.share(rank, world) for rank in range(world)]
    for one, *several in zip(whole.epoch(1), *(share.epoch(1) for share in shares), strict=True):
        assert torch.equal(torch.cat([each.x for each in several]), one.x)
        assert torch.equal(torch.cat([each.positions for each in several]), one.positions)
        assert torch.equal(
            torch.cat([each.positions[partners(each.positions)] for each in several]),
            one.positions[partners(one.positions)],
        )


def test_rows_and_targets_by_hand() -> None:
    x = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 0, 1, 2, 2, 2])
    outputs = torch.rand(8, 3, generator=torch.Generator().manual_seed(1)).softmax(1)
    objective = bound("sparse_categorical_crossentropy", outputs)
    mixed, parts = MixUp(0.7)(batch(x, y), objective, context())
    share = beta(context(), "mix_up", 0.7)
    other = torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])
    torch.testing.assert_close(mixed.x, share[:, None] * x + (1 - share[:, None]) * x[other])
    assert torch.equal(mixed.y[0], torch.where(share >= 0.5, y, y[other]))
    soft = share[:, None] * torch.eye(3)[y] + (1 - share[:, None]) * torch.eye(3)[y[other]]
    wanted = CategoricalCrossentropy()(soft, outputs).mean()
    torch.testing.assert_close(loss_of(objective, outputs, parts), wanted.double(), check_dtype=False)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["sparse", "one-hot", "binary"])
def test_the_loss_is_that_of_soft_targets(kind: str, smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, scores = torch.rand(8, 4, generator=generator), torch.randn(8, 3, generator=generator).double()
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 2, 2])
    y = labels if kind == "sparse" else torch.eye(3)[labels].to(torch.uint8)
    if kind == "sparse" and smoothing:
        pytest.skip("labels are not smoothed")
    loss: Any = {
        "sparse": SparseCategoricalCrossentropy(from_logits=True),
        "one-hot": CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
        "binary": BinaryCrossentropy(from_logits=True, label_smoothing=smoothing),
    }[kind]
    objective = bound(loss, scores)
    weight = torch.arange(1.0, 9.0)
    _, parts = MixUp(1.0)(batch(x, y, weight=weight), objective, context())
    share, other = beta(context(), "mix_up", 1.0), torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])
    own, theirs = weight * share, weight[other] * (1 - share)
    onehot = torch.eye(3).double()[labels]
    soft = (own[:, None] * onehot + theirs[:, None] * onehot[other]) / (own + theirs)[:, None]
    dense: Any = {"binary": BinaryCrossentropy}.get(kind, CategoricalCrossentropy)
    wanted = (dense(from_logits=True, label_smoothing=smoothing)(soft, scores) * (own + theirs)).mean()
    torch.testing.assert_close(loss_of(objective, scores, parts), wanted, check_dtype=False)


@pytest.mark.parametrize("loss", ["mse", "mae", lambda target, output: (target - output).abs()])
def test_quantities_are_mixed_themselves(loss: Any) -> None:
    x, y = torch.rand(8, 4), torch.rand(8, 1)
    outputs = torch.rand(8, 1)
    objective = bound(loss, outputs)
    mixed, parts = MixUp(1.0)(batch(x, y), objective, context())
    share, other = beta(context(), "mix_up", 1.0)[:, None], torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])
    blended = share * y + (1 - share) * y[other]
    torch.testing.assert_close(mixed.y[0], blended)
    error = (blended - outputs).square() if loss == "mse" else (blended - outputs).abs()
    torch.testing.assert_close(loss_of(objective, outputs, parts), error.mean(), check_dtype=False)


def test_a_row_without_a_neighbour_stays() -> None:
    rows = torch.arange(3, 8, dtype=torch.int32)
    x, y = torch.rand(5, 4), torch.tensor([0, 1, 2, 0, 1])
    outputs = torch.full((5, 3), 1 / 3)
    mixed, _ = MixUp(1.0)(batch(x, y, rows), bound("sparse_categorical_crossentropy", outputs), context(rows))
    torch.testing.assert_close(mixed.x[0], x[0])
    assert mixed.y[0][0] == y[0] and not torch.equal(mixed.x[1:], x[1:])


@pytest.mark.parametrize("shape", [(9, 7, 3), (20, 2), (5, 4, 6, 1)])
def test_boxes_are_as_large_as_the_share_says(shape: tuple[int, ...]) -> None:
    rows = torch.arange(400, dtype=torch.int32)
    x = (rows % 2).float().view(400, *[1] * len(shape)).expand(400, *shape)
    y = torch.arange(400) % 2
    outputs = torch.full((400, 2), 0.5)
    mixed, parts = CutMix()(batch(x, y, rows), bound("sparse_categorical_crossentropy", outputs), context(rows))
    foreign = (mixed.x != x).flatten(1).float().mean(1)
    share = parts[0].weight
    assert share is not None and parts[1].weight is not None
    torch.testing.assert_close(foreign, 1 - share)
    torch.testing.assert_close(share + parts[1].weight, torch.ones(400))
    inside = (mixed.x != x)[..., 0]
    for each in inside[foreign > 0]:
        sides = [each.movedim(axis, 0).reshape(each.shape[axis], -1).any(1).sum() for axis in range(each.ndim)]
        assert int(each.sum()) == math.prod(int(side) for side in sides)
    assert inside.float().mean(0).min() > 0.05  # every pixel, up to the border
    assert 0.2 < foreign.mean() < 0.5
    assert torch.equal(mixed.y[0], torch.where(share >= 0.5, y, 1 - y))


def test_masks_get_the_box_of_their_images() -> None:
    masks = torch.randint(0, 4, (8, 6, 5), generator=torch.Generator().manual_seed(0))
    x = masks.unsqueeze(3).float()
    outputs = torch.full((8, 6, 5, 4), 0.25)
    objective = bound("sparse_categorical_crossentropy", outputs)
    mixed, parts = CutMix()(batch(x, masks), objective, context())
    for y in (mixed.y[0], parts[0].y[0], parts[1].y[0]):
        assert torch.equal(y, mixed.x[..., 0].long())


@pytest.mark.parametrize("mixing", [MixUp(0.8), CutMix()])
def test_what_a_row_becomes_follows_from_its_place(mixing: Any) -> None:
    rows = torch.arange(32, dtype=torch.int32)
    x, y = torch.rand(32, 6, 6, 2), torch.arange(32) % 3
    objective = bound("sparse_categorical_crossentropy", torch.full((32, 3), 1 / 3))
    whole, whole_parts = mixing(batch(x, y, rows), objective, context(rows))

    @given(cuts=st.lists(st.integers(0, 16), max_size=4))
    @settings(max_examples=30, deadline=None)
    def check(cuts: list[int]) -> None:
        bounds = [0, *sorted(2 * cut for cut in cuts), 32]
        for low, high in itertools.pairwise(bounds):
            own = slice(low, high)
            mixed, parts = mixing(batch(x[own], y[own], rows[own]), objective, context(rows[own]))
            assert torch.equal(mixed.x, whole.x[own]) and torch.equal(mixed.y[0], whole.y[0][own])
            assert all(torch.equal(a.weight, b.weight[own]) for a, b in zip(parts, whole_parts, strict=True))

    check()
    again, _ = mixing(batch(x, y, rows), objective, context(rows, epoch=1))
    assert not torch.equal(again.x, whole.x)


def test_bytes_are_blended_as_floats_and_cut_as_they_are() -> None:
    x, y = torch.full((8, 3, 3, 1), 7, dtype=torch.uint8), torch.zeros(8, dtype=torch.int64)
    objective = bound("sparse_categorical_crossentropy", torch.full((8, 3), 1 / 3))
    assert MixUp()(batch(x, y), objective, context())[0].x.dtype == torch.float32
    assert CutMix()(batch((x, x), y), objective, context())[0].x[1].dtype == torch.uint8


# -- in fit --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", [MixUp(0.5), CutMix(), [RandomFlip("horizontal"), MixUp(0.5)]])
@pytest.mark.parametrize("size", [5, 6])
def test_the_number_of_workers_changes_nothing(augment: Any, size: int) -> None:
    x, y = images()
    histories = []
    for workers in (1, 2, 4):
        model = compiled(cnn(dropout=0.2))
        distributed_train(model, x, y, size, workers, epochs=2, verbose=0, augment=augment)
        histories.append(model.history.history)
    for history in histories[1:]:
        for name, values in histories[0].items():
            assert history[name] == pytest.approx(values, rel=1e-4), name
    plain = compiled(cnn(dropout=0.2))
    plain.fit(x, y, size, epochs=2, verbose=0)
    assert plain.history["loss"] != pytest.approx(histories[0]["loss"], rel=1e-3)


@pytest.mark.parametrize("augment", [MixUp(0.5), [RandomBrightness(0.2), RandomRotation(0.1), CutMix()]])
def test_a_resumed_run_is_the_same(tmp_path: Path, augment: Any) -> None:
    x, y = images()

    def stop(epoch: int, logs: dict[str, float]) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    straight, resumed, again = (compiled(cnn(dropout=0.2)) for _ in range(3))
    straight.fit(x, y, 6, epochs=4, verbose=0, augment=augment)
    resumed.fit(
        x, y, 6, epochs=4, verbose=0, augment=augment, run=tmp_path / "run",
        callbacks=LambdaCallback(on_epoch_end=stop),
    )  # fmt: skip
    assert resumed.history.interrupted
    again.fit(x, y, 6, epochs=4, verbose=0, augment=augment, run=tmp_path / "run")
    assert same_state(straight, again) and again.history["loss"] == straight.history["loss"]
    other = compiled(cnn(dropout=0.2))
    with pytest.raises(StorageError, match=r"belongs to a run with .*augmentation"):
        other.fit(x, y, 6, epochs=5, verbose=0, augment=MixUp(0.9), run=tmp_path / "run")


def test_layers_draw_by_their_place_in_the_list() -> None:
    x, y = images()
    models, flip = [], RandomFlip()
    compiled(cnn()).fit(x, y, 22, verbose=0, augment=flip)
    assert not flip.training and flip.path == "augment.0"
    for _ in range(2):  # the second flip of the process would have another path, were it not for the list
        model = compiled(cnn())
        model.fit(x, y, 6, epochs=2, verbose=0, augment=RandomFlip())
        models.append(model)
    assert same_state(*models)


def test_it_learns_and_measures_the_heavier_label() -> None:
    x, y = table(200)
    model = compiled(mlp())
    history = model.fit(x, y, 20, epochs=30, verbose=0, augment=MixUp(0.2), class_weight={0: 1.0, 1: 1.0, 2: 1.0})
    assert history["accuracy"][-1] > 0.65
    assert model.evaluate(x, y, return_dict=True)["accuracy"] > 0.75


def test_class_weights_go_with_the_targets() -> None:
    x, y = table(24)
    weights = {0: 1.0, 1: 5.0, 2: 0.5}
    by_class, by_row = compiled(mlp()), compiled(mlp())
    by_class.fit(x, y, 6, epochs=2, verbose=0, augment=MixUp(), class_weight=weights)
    rows = np.array([weights[int(each)] for each in y], dtype="float32")
    by_row.fit(x, y, 6, epochs=2, verbose=0, augment=MixUp(), sample_weight=rows)
    assert by_class.history["loss"] == pytest.approx(by_row.history["loss"], rel=1e-6)


def test_several_outputs_and_inputs() -> None:
    x, y = table()
    first, second = Input((4,), name="first"), Input((4,), name="second")
    model = Model([first, second], {"label": Dense(3, "softmax")(first), "size": Dense(1)(second)})
    loss = {"label": "sparse_categorical_crossentropy", "size": "mse"}
    model.compile("adam", loss, metrics={"label": ["accuracy"], "size": ["mae"]})
    history = model.fit(
        {"first": x, "second": x}, {"label": y, "size": x[:, :1]}, 8, epochs=2, verbose=0, augment=MixUp()
    )
    assert set(history.history) == {"loss", "label_loss", "size_loss", "label_accuracy", "size_mae"}


def test_segmentation_turns_images_and_masks() -> None:
    """A network that copies its input learns nothing wrong only if the mask moves with the image."""
    masks = np.random.default_rng(0).integers(0, 2, (30, 8, 8, 1)).astype("uint8")
    x = masks.astype("float32")
    model = Sequential([Conv2D(1, 1, activation="sigmoid", input_shape=(8, 8, 1))])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.get_layer("conv2d").set_weights([np.full((1, 1, 1, 1), 20.0), np.array([-10.0])])
    turned = [RandomFlip(), RandomRotation(0.5, interpolation="nearest")]
    history = model.fit(x, masks, 10, epochs=2, verbose=0, augment=turned)
    assert history["accuracy"] == [1.0, 1.0]
    history = model.fit(x, masks, 10, epochs=1, verbose=0, augment=[*turned, CutMix()])
    assert history["accuracy"] == [1.0]


def test_foreign_modules_take_inputs_and_targets() -> None:
    class Negative(torch.nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return -x, -y

    x = np.ones((8, 1), "float32")
    model = Sequential([Dense(1, use_bias=False, kernel_initializer="zeros", input_shape=(1,))])
    model.compile("sgd", "mse", metrics=["mae"])
    assert model.fit(x, 3 * x, 8, verbose=0, augment=Negative())["mae"] == [3.0]


def test_what_is_refused() -> None:
    x, y = table()
    model = compiled(mlp())
    with pytest.raises(ConfigError) as config:
        model.fit(x, y, augment="mixup", verbose=0)
    assert str(config.value) == (
        "fit(augment=...): got 'mixup', expected MixUp(), CutMix(), a random layer, or a list of these"
    )
    with pytest.raises(ConfigError, match=r"Write MixUp\(\), with its arguments"):
        model.fit(x, y, augment=MixUp, verbose=0)
    with pytest.raises(ConfigError, match=r"MixUp\(alpha=0\.2\) is followed by another\. Give one mixing, last"):
        model.fit(x, y, augment=[MixUp(), CutMix()], verbose=0)
    with pytest.raises(ConfigError, match=r"MixUp\.alpha: got 0, expected a number in \(0, inf\)"):
        MixUp(0)
    with pytest.raises(ShapeError) as shape:
        model.fit(x, y, augment=CutMix(), verbose=0)
    assert str(shape.value) == (
        "fit(augment=CutMix(alpha=1.0)): got [(4,)], expected images (H, W, C) or series (T, C), all inputs of one "
        "size. Use MixUp for rows without space."
    )
    with pytest.raises(DataError) as data:
        compiled(Sequential([Dense(3, "softmax", input_shape=(4,))])).fit(
            (x * 9).astype("int64"), y, augment=MixUp(), verbose=0
        )
    assert str(data.value) == (
        "fit(augment=MixUp(alpha=0.2)): inputs of int64 cannot be blended: between two numbers of categories lies no "
        "third. Give floats, or images as uint8."
    )
    embedding = Sequential([Dense(3, input_shape=(4,))])
    embedding.compile("adam", "triplet")
    with pytest.raises(UsageError, match=r"triplet compares rows by their class, and a mixed row has two"):
        embedding.fit(x, y, augment=MixUp(), verbose=0)


def test_augmented_passes_through_in_order() -> None:
    x, y = torch.rand(8, 4, 4, 1), torch.zeros(8, dtype=torch.int64)
    objective = bound("sparse_categorical_crossentropy", torch.full((8, 3), 1 / 3))
    layer = RandomBrightness(0.5, value_range=(0, 1)).train()
    layer.path = "augment.0"
    changed, parts = augmented([layer], batch(x, y), objective, context())
    assert parts == [changed] and torch.equal(changed.y, y) and not torch.equal(changed.x, x)
