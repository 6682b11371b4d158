"""Measuring and predicting a plain module, in whatever batches."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.data import Arrays, Loader
from lepton_ai.training import Objective, evaluate, predict
from tests.contracts.fitting import table

X, Y = table(23)
CPU = torch.device("cpu")


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.9), nn.Linear(6, 3), nn.Softmax(-1))


def objective() -> Objective:
    made = Objective("sparse_categorical_crossentropy", ["accuracy"])
    made.bind(torch.zeros(1, 3))
    return made


@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_the_measures_are_exact_for_any_batch_size(batch_size: int) -> None:
    net = module()
    logs = evaluate(net, objective(), Loader(Arrays(X, Y), batch_size), CPU)
    with torch.no_grad():
        outputs = net.eval()(torch.from_numpy(X))
    labels = torch.from_numpy(Y)
    assert logs["loss"] == pytest.approx(nn.functional.nll_loss(outputs.log(), labels).item(), rel=1e-6)
    assert logs["accuracy"] == pytest.approx((outputs.argmax(1) == labels).float().mean().item())


def test_sample_weights_count_in_the_loss() -> None:
    net, weights = module(), np.linspace(0, 2, 23)
    logs = evaluate(net, objective(), Loader(Arrays(X, Y, weights), 7), CPU)
    with torch.no_grad():
        values = nn.functional.nll_loss(net.eval()(torch.from_numpy(X)).log(), torch.from_numpy(Y), reduction="none")
    assert logs["loss"] == pytest.approx((values * torch.from_numpy(weights)).mean().item(), rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_the_statistics_stay(training: bool) -> None:
    net = module().train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    evaluate(net, objective(), Loader(Arrays(X, Y), 5), CPU)
    predict(net, Loader(Arrays(X), 5), CPU)
    assert net.training is training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_mode_stays_after_an_error_too() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("broken")

    net = Broken().train()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate(net, objective(), Loader(Arrays(X, Y), 5), CPU)
    with pytest.raises(RuntimeError, match="broken"):
        predict(net, Loader(Arrays(X), 5), CPU)
    assert net.training


class Several(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        a, b = x.sum(1, keepdim=True), x * 2
        return {"dict": {"a": a, "b": (b, a)}, "tuple": (a, b), "list": [a, b]}[self.form]


@pytest.mark.parametrize("form", ["dict", "tuple", "list"])
def test_predictions_keep_the_structure(form: str) -> None:
    result = predict(Several(form), Loader(Arrays(X), 6), CPU)
    if form == "dict":
        assert result.keys() == {"a", "b"} and isinstance(result["b"], tuple)
        result = (result["a"], result["b"][0])
    else:
        assert type(result).__name__ == form
    np.testing.assert_allclose(result[0], X.sum(1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(result[1], X * 2)


def test_several_outputs_have_their_own_losses() -> None:
    made = Objective({"a": "mse", "b": "mae"}, loss_weights={"a": 1.0, "b": 10.0})
    made.bind({"a": torch.zeros(1, 1), "b": torch.zeros(1, 4)})

    class Named(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return {"a": x.sum(1, keepdim=True), "b": x * 2}

    logs = evaluate(Named(), made, Loader(Arrays(X, {"b": X, "a": X[:, :1]}), 6), CPU)
    assert logs["a_loss"] == pytest.approx(((X.sum(1) - X[:, 0]) ** 2).mean(), rel=1e-5)
    assert logs["b_loss"] == pytest.approx(np.abs(X).mean(), rel=1e-5)
    assert logs["loss"] == pytest.approx(logs["a_loss"] + 10 * logs["b_loss"], rel=1e-6)


def test_the_penalty_is_added_once() -> None:
    loader = Loader(Arrays(X, Y), 5)
    net = module()
    plain = evaluate(net, objective(), loader, CPU)["loss"]
    assert evaluate(net, objective(), loader, CPU, penalty=lambda: torch.tensor(0.25))["loss"] == plain + 0.25
    assert evaluate(net, objective(), loader, CPU, penalty=lambda: None)["loss"] == plain
