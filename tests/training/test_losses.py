import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError, UnknownNameError
from lepton_ai.training.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CosineSimilarity,
    FunctionLoss,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Pinball,
    Poisson,
    SparseCategoricalCrossentropy,
    get_loss,
)
from tests.contracts.loss import LossContract


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 0.9 + 0.05


class Regression(LossContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return uniform(6, 3) + 1, uniform(6, 3).flip(0)


class TestMeanSquaredError(Regression):
    name, loss = "mse", MeanSquaredError()


class TestMeanAbsoluteError(Regression):
    name, loss = "mean_absolute_error", MeanAbsoluteError()


class TestMeanAbsolutePercentageError(Regression):
    name, loss = "mape", MeanAbsolutePercentageError()


class TestMeanSquaredLogarithmicError(Regression):
    name, loss = "msle", MeanSquaredLogarithmicError()


class TestHuber(Regression):
    name, loss = "huber", Huber(delta=0.7)


class TestLogCosh(Regression):
    name, loss = "log_cosh", LogCosh()


class TestPoisson(Regression):
    name, loss = "poisson", Poisson()


class TestCosineSimilarity(Regression):
    name, loss = "cosine_similarity", CosineSimilarity()


class TestPinball(Regression):
    name, loss = "pinball", Pinball(0.3)


class TestSeveralQuantiles(LossContract):
    name, loss = "quantile", Pinball([0.1, 0.5, 0.9])

    def pair(self) -> tuple[Tensor, Tensor]:
        return uniform(6, 1), uniform(6, 3).flip(0)


class TestKLDivergence(LossContract):
    name, loss = "kld", KLDivergence()

    def pair(self) -> tuple[Tensor, Tensor]:
        return uniform(6, 4).softmax(-1), uniform(6, 4).flip(0).softmax(-1)


class TestBinaryCrossentropy(LossContract):
    name, loss = "binary_crossentropy", BinaryCrossentropy(label_smoothing=0.1)

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.tensor([1, 0, 1, 1, 0, 0]), uniform(6, 1)


class TestBinaryCrossentropyOfLogits(LossContract):
    name, loss = "bce", BinaryCrossentropy(from_logits=True)

    def pair(self) -> tuple[Tensor, Tensor]:
        return (uniform(6, 4) > 0.5).double(), 8 * uniform(6, 4).flip(1) - 4


class TestCategoricalCrossentropy(LossContract):
    name, loss = "categorical_crossentropy", CategoricalCrossentropy(label_smoothing=0.2)

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.eye(4, dtype=torch.float64)[[0, 3, 2, 1, 1, 0]], uniform(6, 4).softmax(-1)


class TestCategoricalCrossentropyOfLogits(TestCategoricalCrossentropy):
    loss = CategoricalCrossentropy(from_logits=True, axis=1)

    def pair(self) -> tuple[Tensor, Tensor]:
        labels = (uniform(6, 5) * 4).long()
        return torch.eye(4, dtype=torch.float64)[labels].movedim(-1, 1), 6 * uniform(6, 4, 5) - 3


class TestSparseCategoricalCrossentropy(LossContract):
    name, loss = "sparse_categorical_crossentropy", SparseCategoricalCrossentropy()

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.tensor([0, 3, 2, 1, 1, 0]), uniform(6, 4).softmax(-1)


class TestSparseCategoricalCrossentropyOfLogits(TestSparseCategoricalCrossentropy):
    loss = SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)

    def pair(self) -> tuple[Tensor, Tensor]:
        labels = (uniform(6, 5) * 4).long()
        labels[0, :2] = labels[3] = -1
        return labels, 6 * uniform(6, 5, 4) - 3


def test_the_worst_mistake_still_has_a_gradient() -> None:
    logits = torch.tensor([[0.0, 60.0]], requires_grad=True)
    for loss, target in (
        (CategoricalCrossentropy(), torch.tensor([[1.0, 0.0]])),
        (SparseCategoricalCrossentropy(), torch.tensor([0])),
    ):
        value = loss(target, logits.softmax(-1))
        assert value.item() == pytest.approx(60.0, rel=1e-5)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        torch.testing.assert_close(gradient, torch.tensor([[-1.0, 1.0]]))


def test_a_probability_of_zero_is_finite() -> None:
    output = torch.tensor([[0.0, 1.0]], requires_grad=True)
    value = CategoricalCrossentropy()(torch.tensor([[1.0, 0.0]]), output)
    torch.autograd.backward(value.sum())
    assert output.grad is not None
    assert torch.isfinite(value).all() and torch.isfinite(output.grad).all()
    assert CategoricalCrossentropy()(torch.tensor([[0.0, 1.0]]), output).item() == 0


@pytest.mark.parametrize("loss", [MeanSquaredError(), BinaryCrossentropy(), Huber()])
def test_a_column_of_one_is_aligned_not_broadcast(loss: Loss) -> None:
    flat, column = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([[0.9], [0.2], [0.6]])
    expected = loss(flat, column.squeeze(1))
    assert torch.equal(loss(flat, column), expected)
    assert torch.equal(loss(flat.unsqueeze(1), column.squeeze(1)), expected)
    assert loss(flat[:1], column[:1]).shape == (1,)
    for target in (flat, flat.unsqueeze(1)):
        loss.check(target, (None, 1))
        loss.check(target, (None,))


def test_labels_may_have_a_last_axis_and_any_dtype() -> None:
    output = torch.tensor([[0.2, 0.8], [0.7, 0.3]])
    loss = SparseCategoricalCrossentropy()
    expected = -torch.tensor([0.8, 0.7]).log()
    for labels in ([1, 0], [[1], [0]]):
        for dtype in (torch.uint8, torch.int32, torch.float32):
            target = torch.tensor(labels, dtype=dtype)
            loss.check(target, (None, 2))
            torch.testing.assert_close(loss(target, output), expected)
    loss.check(torch.tensor([200, 3], dtype=torch.uint8), (None, 1000))


def test_ignored_elements_count_nothing() -> None:
    loss = SparseCategoricalCrossentropy(ignore_class=9)
    output = torch.tensor([[[0.2, 0.8], [0.5, 0.5]], [[0.0, 1.0], [0.0, 1.0]]], requires_grad=True)
    target = torch.tensor([[1, 9], [9, 9]], dtype=torch.uint8)
    loss.check(target, (None, 2, 2))
    values, weight = loss(target, output), loss.weight(target)
    assert weight is not None
    torch.testing.assert_close(values, torch.tensor([-math.log(0.8), 0.0]))
    torch.testing.assert_close(weight, torch.tensor([0.5, 0.0]))
    torch.autograd.backward(values.sum())
    assert output.grad is not None and bool((output.grad[1] == 0).all()) and bool((output.grad[0, 1] == 0).all())
    assert SparseCategoricalCrossentropy().weight(target) is None


REFUSED: list[tuple[str, Tensor, tuple[int | None, ...], type[Exception], str]] = [
    (
        "poisson",
        torch.tensor([1.0, -2.0]),
        (2, 1),
        DataError,
        "negative, and counts are not: -2.0 at row 1",
    ),
    ("kld", torch.zeros(8), (None, 10), ShapeError, "look like class labels: use loss='sparse_categorical"),
    ("kld", torch.ones(2, 3), (None, 3), DataError, "do not sum to 1 over the classes: 3.0 at row 0"),
    ("hinge", torch.tensor([1.0, 3.0]), (2, 1), DataError, "neither -1 and 1, nor 0 and 1: 3.0 at row 1.*categorical"),
    ("hinge", torch.zeros(8, 2), (None, 1), ShapeError, "one target, -1 or 1, for each"),
    ("categorical_hinge", torch.ones(2, 3), (None, 3), DataError, "not one-hot rows.*at row 0. Use to_categorical"),
    ("categorical_hinge", torch.zeros(8), (None, 3), ShapeError, "Give one-hot rows, to_categorical"),
    ("dice", torch.full((2, 4, 4, 1), 255.0), (2, 4, 4, 1), DataError, r"outside \[0, 1\]: 255.0 at row 0. Divide"),
    ("jaccard", torch.zeros(2, 4, 4), (2, 4, 4, 3), ShapeError, "Give a mask of the outputs' shape: one-hot"),
    (
        "ctc",
        torch.tensor([[1, 2, 3], [2, 2, 2]]),
        (None, 4, 4),
        DataError,
        "ctc: no path of 4 steps spells the target of row 1, which needs 5. Let the model give more steps",
    ),
    ("ctc", torch.tensor([[1, 4]]), (None, 9, 4), DataError, r"outside \[1, 4\), with 0 for padding: 4 at row 0"),
    ("ctc", torch.tensor([[1, 0, 2]]), (None, 9, 4), DataError, "a symbol stands behind a 0.*: 2 at row 0"),
    ("ctc", torch.tensor([[1.5]]), (None, 9, 4), DataError, "labels are not whole numbers: 1.5 at row 0"),
    ("ctc", torch.zeros(8, 2), (None, 4), ShapeError, r"Give labels \(batch, length\), padded with 0"),
    ("contrastive", torch.tensor([2.0]), (None, 1), DataError, r"outside \[0, 1\]: 2.0.*belong together as 1"),
    ("triplet_margin", torch.zeros(8), (None, 2, 4), ShapeError, r"three embeddings, \(batch, 3, size\)"),
    ("triplet", torch.zeros(8), (None, 2, 4), ShapeError, r"one class label per row.*\(batch, size\)"),
    ("circle", torch.tensor([0.5]), (None, 4), DataError, "labels are not whole numbers: 0.5 at row 0"),
    ("categorical_generalized_cross_entropy", torch.tensor([3]), (None, 3), DataError, r"lie outside \[0, 3\)"),
    (
        "mse",
        torch.zeros(8, 1),
        (8, 3),
        ShapeError,
        r"mean_squared_error: targets of shape \(batch, 1\) do not fit outputs of shape \(batch, 3\). "
        r"The targets have 1 column and the model 3 outputs: give the last layer one unit for each column",
    ),
    ("mae", torch.zeros(8), (None, 3), ShapeError, r"targets of shape \(batch,\) .* have 1 column and the model 3"),
    ("huber", torch.zeros(8, 3), (None, 1), ShapeError, r"3 columns and the model 1 output:"),
    ("msle", torch.tensor([1.0, -2.0]), (2, 1), DataError, "targets are negative.*-2.0 at row 1.*mean_squared_error"),
    ("bce", torch.zeros(8, 1), (None, 3), ShapeError, r"Dense\(1, activation='sigmoid'\).*sparse_categorical"),
    ("bce", torch.zeros(8, 3), (None, 1), ShapeError, r"one answer per row"),
    ("bce", torch.tensor([-1.0, 1.0]), (2, 1), DataError, r"outside \[0, 1\]: -1.0 at row 0. .*\(y \+ 1\) / 2"),
    ("bce", torch.tensor([0, 1, 2]), (3, 1), DataError, r"outside \[0, 1\]: 2 at row 2. .*sparse_categorical"),
    (
        "categorical_crossentropy",
        torch.zeros(8, dtype=torch.int64),
        (None, 10),
        ShapeError,
        r"\(batch,\) do not fit outputs of shape \(batch, 10\).*use loss='sparse_categorical_crossentropy', or "
        r"to_categorical\(y, num_classes=10\)",
    ),
    ("categorical_crossentropy", torch.zeros(8, 1), (None, 10), ShapeError, r"look like class labels"),
    ("categorical_crossentropy", torch.zeros(8, 3), (None, 10), ShapeError, r"one-hot targets with 10 columns"),
    ("categorical_crossentropy", torch.zeros(8, 1), (None, 1), ShapeError, r"one output unit.*binary_crossentropy"),
    ("categorical_crossentropy", torch.ones(2, 3), (None, 3), DataError, r"do not sum to 1.*3.0 at row 0.*binary"),
    ("categorical_crossentropy", torch.tensor([[2.0, -1.0]]), (1, 2), DataError, r"outside \[0, 1\]: 2.0 at row 0"),
    ("categorical_crossentropy", torch.zeros(8), (None,), ShapeError, r"have no class axis -1. End the model with"),
    (
        "sparse_categorical_crossentropy",
        torch.zeros(8, 10),
        (None, 10),
        ShapeError,
        r"look like one-hot rows: use loss='categorical_crossentropy', or y.argmax\(-1\)",
    ),
    ("sparse_categorical_crossentropy", torch.zeros(8, 3), (None, 10), ShapeError, "one class label for each row"),
    ("sparse_categorical_crossentropy", torch.zeros(8), (None, 1), ShapeError, "binary_crossentropy"),
    (
        "sparse_categorical_crossentropy",
        torch.tensor([0, 9, 10]),
        (3, 10),
        DataError,
        r"labels lie outside \[0, 10\): 10 at row 2. Labels count from 0",
    ),
    ("sparse_categorical_crossentropy", torch.tensor([0, -1]), (2, 10), DataError, r"outside \[0, 10\): -1 at row 1"),
    ("sparse_categorical_crossentropy", torch.tensor([0.5]), (1, 10), DataError, "not whole numbers: 0.5 at row 0"),
    ("sparse_categorical_crossentropy", torch.tensor([[3], [12]]), (2, 10), DataError, r"12 at row 1"),
]


@pytest.mark.parametrize(("name", "target", "shape", "error", "text"), REFUSED)
def test_targets_that_do_not_fit_are_refused_with_the_way_out(
    name: str, target: Tensor, shape: tuple[int | None, ...], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        get_loss(name).check(target, shape)


def test_a_call_never_broadcasts() -> None:
    for loss in (MeanSquaredError(), BinaryCrossentropy()):
        with pytest.raises(ShapeError, match=r"targets of shape \(8, 1\) do not fit outputs of shape \(8, 3\)"):
            loss(torch.zeros(8, 1), torch.zeros(8, 3))
        with pytest.raises(ShapeError, match=r"targets of shape \(7,\) do not fit outputs of shape \(8, 1\)"):
            loss(torch.zeros(7), torch.zeros(8, 1))


def test_free_sizes_fit_any() -> None:
    get_loss("mse").check(torch.zeros(4, 7, 2), (None, None, 2))
    SparseCategoricalCrossentropy().check(torch.zeros(4, 7), (None, None, 3))
    with pytest.raises(ShapeError, match=r"outputs of shape \(batch, any, 3\)"):
        get_loss("mse").check(torch.zeros(4, 7, 2), (None, None, 3))


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown loss 'categorical_crossentrpy'. Did you mean 'categorical_cr"):
        get_loss("categorical_crossentrpy")
    with pytest.raises(UnknownNameError, match=r"unknown argument Huber 'detla'. Did you mean 'delta'"):
        get_loss({"class": "Huber", "config": {"detla": 2}})
    with pytest.raises(ConfigError, match="got 3, expected a name, or an object of class Loss"):
        get_loss(3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="loss config: got .*expected .*class"):
        get_loss({"name": "Huber"})
    with pytest.raises(ConfigError, match=r"Huber.delta: got 0, expected a number in \(0, inf\)"):
        Huber(delta=0)
    with pytest.raises(ConfigError, match=r"label_smoothing: got 1.5"):
        BinaryCrossentropy(label_smoothing=1.5)


def test_functions_are_losses() -> None:
    def cubic(target: Tensor, output: Tensor) -> Tensor:
        return (target - output).abs() ** 3

    loss = get_loss(cubic)
    assert isinstance(loss, FunctionLoss) and loss.name == "cubic"
    torch.testing.assert_close(loss(torch.zeros(2, 2), torch.tensor([[1.0, 2.0], [0.0, 0.0]])), torch.tensor([4.5, 0]))
    with pytest.raises(ConfigError, match="FunctionLoss.function: .*cannot be stored. Write a class"):
        loss.config()
    with pytest.raises(ShapeError, match=r"the function returned shape \(\).*one value per sample"):
        get_loss(lambda target, output: (target - output).mean())(torch.zeros(2), torch.zeros(2))
    with pytest.raises(ConfigError, match=r"got 'MSELoss'.*Torch's take \(output, target\) and reduce"):
        get_loss(torch.nn.MSELoss())


def test_losses_of_ones_own_keep_the_rules() -> None:
    class Forgetful(Loss):
        def __init__(self, power: float = 2.0) -> None:
            super().__init__()
            self.exponent = power

        def __call__(self, target: Tensor, output: Tensor) -> Tensor:
            return ((target - output).abs() ** self.exponent).flatten(1).mean(1)

    loss = get_loss(Forgetful)
    assert loss.name == "forgetful"
    with pytest.raises(ConfigError, match=r"Forgetful does not keep its argument 'power'. Write self.power = power"):
        loss.config()


def test_numpy_numbers_are_numbers() -> None:
    assert Huber(np.float64(0.5)).config() == {"class": "Huber", "config": {"delta": 0.5, "name": "huber"}}
    assert repr(Huber(2)) == "Huber(delta=2.0)"


def test_outputs_that_a_loss_cannot_mean_are_refused() -> None:
    scores = torch.tensor([[3.0, -1.0]])
    for loss, text in (
        (Poisson(), "no expected counts: -1 among them. End the model with activation='exponential' or 'softplus'"),
        (KLDivergence(), "no probabilities: 3 among them. End the model with activation='softmax'."),
        (get_loss("dice"), "no probabilities: 3 among them. End the model with activation='sigmoid'."),
        (get_loss("binary_focal_crossentropy"), r"or use BinaryFocalCrossentropy\(from_logits=True\)"),
        (get_loss("circle"), r"embeddings must have length 1, one has 3.162. End the model with UnitNormalization\(\)"),
    ):
        with pytest.raises(ConfigError, match=text):
            loss.check_outputs(scores)


def test_settings_of_the_further_losses_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"Dice.axis: got \[0, 1\], expected axes behind the batch's"):
        get_loss({"class": "Dice", "config": {"axis": [0, 1]}})
    with pytest.raises(ShapeError, match=r"dice: outputs of shape \(2, 3\) have no axes \(1, 2\) behind the batch"):
        get_loss({"class": "Dice", "config": {"axis": [1, 2]}})(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ShapeError, match=r"have no axis 2 behind the batch"):
        CosineSimilarity(axis=2)(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ConfigError, match=r"Pinball.quantile\[1\]: got 1.5, expected a number in \(0, 1\)"):
        Pinball([0.5, 1.5])
    with pytest.raises(ConfigError, match=r"Pinball.quantile: got \[\], expected at least one quantile"):
        Pinball([])
    with pytest.raises(UnknownNameError, match="unknown mining 'hrad'. Did you mean 'hard'"):
        get_loss({"class": "Triplet", "config": {"mining": "hrad"}})
    with pytest.raises(ShapeError, match=r"categorical_focal_crossentropy.alpha: got 2, expected one for each of 3"):
        get_loss({"class": "CategoricalFocalCrossentropy", "config": {"alpha": [1, 2]}}).check(torch.eye(3), (None, 3))
    with pytest.raises(ShapeError, match=r"End the model with Dense\(2\), one unit for each quantile"):
        Pinball([0.1, 0.9]).check(torch.zeros(4), (None, 3))
