"""Losses against Keras 3 on the torch backend, in float64, values and gradients."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import pytest
import torch
from keras.src.losses import ALL_OBJECTS_DICT
from sklearn.metrics import jaccard_score, mean_pinball_loss
from torch import Tensor
from torch.nn import functional as F

from lepton_ai.training.losses import LOSSES, Loss, get_loss

torch.set_num_threads(1)
GENERATOR = torch.Generator().manual_seed(5)


@pytest.fixture(autouse=True)
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras in float64. On torch some of its operations go through float32, which would hide faults below 1e-7."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    monkeypatch.setattr("keras.src.ops.mean", lambda x, axis=None: torch.mean(x, axis))
    monkeypatch.setattr("keras.src.ops.maximum", lambda x, y: torch.maximum(x, torch.as_tensor(y, dtype=x.dtype)))
    monkeypatch.setattr("keras.src.backend.torch.numpy.minimum", lambda x, y: torch.clamp(x, max=y))
    yield
    keras.config.set_floatx(before)


SINGLE = {"CTC": 1e-5, "Circle": 1e-5}
"""What Keras on torch computes in float32 come what may; the formula is judged in float64 below."""


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64)


ROWS, PROBABILITIES = normal(7, 4), normal(7, 4).sigmoid()
LABELS = torch.randint(0, 4, (7,), generator=GENERATOR)
ONEHOT, SOFT = torch.eye(4, dtype=torch.float64)[LABELS], normal(7, 4).softmax(-1)
SERIES, SERIES_LABELS = normal(7, 3, 4), torch.randint(0, 4, (7, 3), generator=GENERATOR)
YES = (normal(7, 4) > 0).double()
POSITIVE = normal(7, 4).abs() + 0.1
SIGNS = YES * 2 - 1
MASKS, AREAS = (normal(7, 5, 4, 2) > 0).double(), normal(7, 5, 4, 2).sigmoid()
EMBEDDINGS = torch.nn.functional.normalize(normal(7, 5), dim=-1)
GROUPS = torch.tensor([0, 1, 0, 2, 1, 1, 0])
STEPS, WORDS = 2 * normal(7, 9, 5), torch.randint(1, 5, (7, 4), generator=GENERATOR)
WORDS[2, 3:] = WORDS[4, 1:] = WORDS[5] = 0

CASES: list[tuple[str, dict[str, Any], Tensor, Tensor]] = [
    ("MeanSquaredError", {}, normal(7, 4), ROWS),
    ("MeanSquaredError", {}, normal(7, 3, 4), SERIES),
    ("MeanAbsoluteError", {}, normal(7, 4), ROWS),
    ("MeanAbsolutePercentageError", {}, normal(7, 4), ROWS),
    ("MeanAbsolutePercentageError", {}, torch.zeros(7, 4, dtype=torch.float64), ROWS * 1e-6),
    ("MeanSquaredLogarithmicError", {}, POSITIVE, ROWS),
    ("Huber", {}, 3 * normal(7, 4), ROWS),
    ("Huber", {"delta": 0.3}, normal(7, 4), ROWS),
    ("LogCosh", {}, 2 * normal(7, 4), ROWS),
    ("BinaryCrossentropy", {}, YES, PROBABILITIES),
    ("BinaryCrossentropy", {}, YES, torch.where(PROBABILITIES > 0.5, 1e-9, 1 - 1e-9).double()),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, YES, PROBABILITIES),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, YES, ROWS * 5),
    ("CategoricalCrossentropy", {}, ONEHOT, ROWS.softmax(-1)),
    ("CategoricalCrossentropy", {}, SOFT, PROBABILITIES),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONEHOT, ROWS.softmax(-1)),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ONEHOT, ROWS * 3),
    ("CategoricalCrossentropy", {"axis": 1}, normal(7, 3, 4).softmax(1), SERIES.softmax(1)),
    ("CategoricalCrossentropy", {"from_logits": True}, normal(7, 3, 4).softmax(-1), SERIES),
    ("SparseCategoricalCrossentropy", {}, LABELS, ROWS.softmax(-1)),
    ("SparseCategoricalCrossentropy", {}, LABELS.unsqueeze(-1), PROBABILITIES),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, ROWS * 3),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, SERIES_LABELS, SERIES),
    ("SparseCategoricalCrossentropy", {}, SERIES_LABELS, SERIES.softmax(-1)),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "axis": 1}, SERIES_LABELS[:, :1].repeat(1, 4) % 3, SERIES),
    ("BinaryFocalCrossentropy", {}, YES, PROBABILITIES),
    ("BinaryFocalCrossentropy", {"from_logits": True, "gamma": 1.5, "label_smoothing": 0.1}, YES, ROWS),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3}, YES, PROBABILITIES),
    ("CategoricalFocalCrossentropy", {}, ONEHOT, ROWS.softmax(-1)),
    (
        "CategoricalFocalCrossentropy",
        {"alpha": [0.125, 0.25, 0.375, 0.5], "label_smoothing": 0.1},
        ONEHOT,
        PROBABILITIES,
    ),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "gamma": 3.0}, SOFT, ROWS),
    ("CategoricalFocalCrossentropy", {"axis": 1}, normal(7, 3, 4).softmax(1), SERIES.softmax(1)),
    ("CategoricalGeneralizedCrossEntropy", {}, LABELS, ROWS.softmax(-1)),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.8}, SERIES_LABELS, SERIES.softmax(-1)),
    ("Hinge", {}, YES, ROWS),
    ("Hinge", {}, SIGNS, ROWS),
    ("SquaredHinge", {}, SIGNS, ROWS),
    ("CategoricalHinge", {}, ONEHOT, ROWS),
    ("CategoricalHinge", {}, ONEHOT, ROWS.abs()),
    ("KLDivergence", {}, SOFT, ROWS.softmax(-1)),
    ("KLDivergence", {}, ONEHOT, ROWS.softmax(-1)),
    ("Poisson", {}, POSITIVE.round(), PROBABILITIES * 3),
    ("CosineSimilarity", {}, normal(7, 4), ROWS),
    ("CosineSimilarity", {"axis": 1}, normal(7, 3, 4), SERIES),
    ("Dice", {"axis": (1, 2, 3)}, MASKS, AREAS),
    ("Dice", {"axis": (1, 2)}, MASKS, AREAS),
    ("Tversky", {"axis": (1, 2, 3)}, MASKS, AREAS),
    ("Tversky", {"axis": (1, 2), "alpha": 0.3, "beta": 0.8}, MASKS, AREAS),
    ("CTC", {}, WORDS, STEPS),
    ("Circle", {}, GROUPS, EMBEDDINGS),
    ("Circle", {"gamma": 3.0, "margin": 0.2, "remove_diagonal": False}, GROUPS, EMBEDDINGS),
]


def gradient(loss: Any, target: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
    output = output.clone().requires_grad_()
    value = loss(target, output)
    (slope,) = torch.autograd.grad(value, output)
    return value.detach(), slope


@pytest.mark.parametrize(("name", "arguments", "target", "output"), CASES)
def test_values_and_gradients_are_those_of_keras(
    name: str, arguments: dict[str, Any], target: Tensor, output: Tensor
) -> None:
    ours = get_loss({"class": name, "config": arguments})
    theirs = getattr(keras.losses, name)(**arguments, dtype="float64", reduction=None)
    assert ours(target, output).shape == (7,)
    value, slope = gradient(lambda t, o: ours(t, o).mean(), target, output)
    expected, expected_slope = gradient(lambda t, o: theirs(t, o).mean(), target, output)
    tolerance = SINGLE.get(name, 1e-9)
    torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(slope, expected_slope, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("from_logits", [False, True])
def test_ignored_labels_are_left_out_of_the_mean_as_in_keras(from_logits: bool) -> None:
    labels = SERIES_LABELS.clone()
    labels[0, :2] = labels[2] = 3
    output = SERIES if from_logits else SERIES.softmax(-1)
    ours = get_loss(
        {"class": "SparseCategoricalCrossentropy", "config": {"from_logits": from_logits, "ignore_class": 3}}
    )
    theirs = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits, ignore_class=3, reduction="sum")
    counted = (labels != 3).sum()

    def mean(target: Tensor, output: Tensor) -> Tensor:
        weight = ours.weight(target)
        assert weight is not None
        return (ours(target, output) * weight).sum() / weight.sum()

    value, slope = gradient(mean, labels, output)
    expected, expected_slope = gradient(lambda t, o: theirs(t, o) / counted, labels, output)
    # the weights are shares in float32
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-6, atol=1e-9)


def test_below_keras_clip_the_loss_goes_on() -> None:
    target, output = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[1e-12, 1 - 1e-12]]).double()
    ours: Loss = get_loss("categorical_crossentropy")
    theirs = keras.losses.CategoricalCrossentropy(dtype="float64")
    value, slope = gradient(lambda t, o: ours(t, o).mean(), target, output)
    clipped, dead = gradient(theirs, target, output)
    assert value.item() == pytest.approx(27.631, abs=1e-3) and slope[0, 0].item() == pytest.approx(-1e12)
    assert clipped.item() == pytest.approx(16.118, abs=1e-3) and dead[0, 0].item() == 0


OWN = {"Contrastive", "Jaccard", "Pinball", "SupervisedContrastive", "Triplet", "TripletMargin"}
CLASSES = [name for name in dir(keras.losses) if inspect.isclass(getattr(keras.losses, name)) and name != "Loss"]
ALIASES = sorted(set(ALL_OBJECTS_DICT) - {"Loss", "LossFunctionWrapper"})


@pytest.mark.parametrize("alias", ALIASES)
def test_names_and_aliases_are_those_of_keras(alias: str) -> None:
    theirs = keras.losses.get(alias)
    expected = theirs.name if isinstance(theirs, keras.losses.Loss) else theirs.__name__
    assert get_loss(alias).name == expected.removesuffix("_loss")  # Keras names an object of Huber otherwise than huber


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_and_defaults_are_those_of_keras(name: str) -> None:
    theirs = inspect.signature(getattr(keras.losses, name)).parameters
    ours = inspect.signature(LOSSES.get(name)).parameters
    for key, parameter in ours.items():
        assert key == "name" or parameter.default == theirs[key].default, key
    # one value per row leaves the reduction to the loop; an axis of binary losses says nothing then
    assert theirs.keys() - ours.keys() <= {"reduction", "dtype"} | ({"axis"} if name.startswith("Binary") else set())


def test_every_loss_is_keras_or_said_to_be_our_own() -> None:
    assert {loss.__name__ for loss in map(LOSSES.get, LOSSES)} == {*CLASSES, *OWN}


def test_over_the_whole_batch_keras_dice_is_another_mean() -> None:
    per_row = get_loss("dice")(MASKS, AREAS).mean()
    whole = keras.losses.Dice(dtype="float64")(MASKS, AREAS)
    assert per_row.item() != pytest.approx(whole.item(), rel=1e-6)
    assert per_row.item() == pytest.approx(keras.losses.Dice(axis=(1, 2, 3), dtype="float64")(MASKS, AREAS).item())


@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_given_triples_are_those_of_torch(margin: float) -> None:
    triples = normal(7, 3, 4)
    ours = get_loss({"class": "TripletMargin", "config": {"margin": margin}})

    def theirs(_: Tensor, output: Tensor) -> Tensor:
        anchor, like, unlike = output.unbind(1)
        return F.triplet_margin_loss(anchor, like, unlike, margin=margin, eps=0.0)

    value, slope = gradient(lambda t, o: ours(t, o).mean(), LABELS, triples)
    expected, expected_slope = gradient(theirs, LABELS, triples)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(slope, expected_slope, rtol=1e-9, atol=1e-9)


def test_contrastive_is_torch_s_hinge_embedding_of_squares() -> None:
    distance = normal(7, 1).abs()
    truth = (normal(7, 1) > 0).double()
    near = F.mse_loss(distance, torch.zeros_like(distance), reduction="none")
    far = F.hinge_embedding_loss(distance, torch.full_like(distance, -1.0), margin=1.0, reduction="none").square()
    torch.testing.assert_close(get_loss("contrastive")(truth, distance), (truth * near + (1 - truth) * far).squeeze(1))


def test_pinball_is_that_of_scikit_learn() -> None:
    target, output = normal(7), normal(7, 3)
    quantiles = [0.1, 0.5, 0.9]
    values = get_loss({"class": "Pinball", "config": {"quantile": quantiles}})(target, output)
    columns = [
        mean_pinball_loss(target.numpy(), output[:, i].numpy(), alpha=share) for i, share in enumerate(quantiles)
    ]
    assert values.mean().item() == pytest.approx(sum(columns) / 3, rel=1e-9)
    single = get_loss({"class": "Pinball", "config": {"quantile": 0.1}})(target, output[:, 0])
    assert single.mean().item() == pytest.approx(columns[0], rel=1e-9)


def test_jaccard_is_one_minus_that_of_scikit_learn_on_masks() -> None:
    claimed = (AREAS > 0.5).double()
    each = [
        jaccard_score(target.flatten().numpy(), output.flatten().numpy())
        for target, output in zip(MASKS, claimed, strict=True)
    ]
    assert get_loss("jaccard")(MASKS, claimed).tolist() == pytest.approx([1 - share for share in each], abs=1e-6)


def test_ctc_is_the_sum_over_all_paths() -> None:
    steps, classes = 5, 3
    output = normal(3, steps, classes)
    targets = [[1, 2], [1, 1], [2, 0]]
    chance = output.softmax(-1)
    for row, target in enumerate(targets):
        word = [label for label in target if label]
        total = torch.zeros(()).double()
        for path in itertools.product(range(classes), repeat=steps):
            if [label for label, _ in itertools.groupby(path) if label] == word:
                total += torch.stack([chance[row, step, label] for step, label in enumerate(path)]).prod()
        value = get_loss("ctc")(torch.tensor([target]), output[row : row + 1])
        torch.testing.assert_close(value[0], -total.log(), rtol=1e-9, atol=1e-9)


def test_circle_is_the_formula_of_the_paper() -> None:
    gamma, margin = 3.0, 0.2
    values = get_loss({"class": "Circle", "config": {"gamma": gamma, "margin": margin}})(GROUPS, EMBEDDINGS)
    cosine = EMBEDDINGS @ EMBEDDINGS.T
    for row in range(7):
        like = [other for other in range(7) if GROUPS[other] == GROUPS[row] and other != row]
        unlike = [other for other in range(7) if GROUPS[other] != GROUPS[row]]
        if not like:
            assert values[row] == 0
            continue
        # alpha_p = O_p - s_p with O_p = 1 + m and Delta_p = 1 - m; alpha_n = s_n - O_n with O_n = -m and Delta_n = m
        near = sum(torch.exp(-gamma * (1 + margin - s) * (s - (1 - margin))) for s in cosine[row, like])
        far = sum(torch.exp(gamma * (s + margin).clamp_min(0) * (s - margin)) for s in cosine[row, unlike])
        torch.testing.assert_close(values[row], torch.as_tensor(1 + near * far).log(), rtol=1e-9, atol=1e-9)
