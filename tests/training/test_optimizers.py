import pytest
import torch
from torch import nn

from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.training.optimizers import SGD, Adam, AdamW, RMSprop, get_optimizer
from lepton_ai.training.schedules import Constant, CosineDecay, PolynomialDecay
from tests.contracts.optimizer import OptimizerContract


class TestSGD(OptimizerContract):
    name, optimizer = "sgd", SGD(0.05)


class TestMomentum(OptimizerContract):
    name, optimizer = "SGD", SGD(0.02, momentum=0.9, nesterov=True, weight_decay=1e-3)


class TestAdam(OptimizerContract):
    name, optimizer = "adam", Adam(0.05)


class TestAmsgrad(OptimizerContract):
    name, optimizer = "Adam", Adam(CosineDecay(0.05, alpha=0.1), amsgrad=True, weight_decay=1e-3)


class TestAdamW(OptimizerContract):
    name, optimizer = "adamw", AdamW(0.05)


class TestRMSprop(OptimizerContract):
    name, optimizer = "rmsprop", RMSprop(0.01)


class TestCentredRMSprop(OptimizerContract):
    name, optimizer = "RMSProp", RMSprop(0.002, momentum=0.9, centered=True, weight_decay=1e-3)


def test_defaults_are_those_of_keras() -> None:
    assert repr(get_optimizer("adam")) == (
        "Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False, weight_decay=None)"
    )
    assert AdamW().weight_decay == 0.004


def test_fused_kernels_are_taken_where_torch_has_them() -> None:
    named = [("weight", nn.Parameter(torch.ones(2)))]
    for kind in (SGD, Adam, AdamW):
        assert kind().build(named).param_groups[0]["fused"] is True
        assert not kind().build(named, fused=False).param_groups[0]["fused"]


def test_parameters_keep_their_names() -> None:
    named = [("a", nn.Parameter(torch.ones(2))), ("b", nn.Parameter(torch.ones(2), requires_grad=False))]
    assert Adam().build(named).param_groups[0]["param_names"] == ["a"]


def test_a_rate_is_known_from_the_start_where_it_is_a_number() -> None:
    named = [("weight", nn.Parameter(torch.ones(2)))]
    assert Adam(0.3).build(named).param_groups[0]["lr"] == 0.3
    assert Adam(Constant(0.2)).build(named).param_groups[0]["lr"] == 0.2
    assert Adam(PolynomialDecay(0.2)).build(named).param_groups[0]["lr"] == 0.0
    assert Adam(0.3).schedule(None)(5) == Adam(0.3).schedule(9)(5) == 0.3
    assert Adam(PolynomialDecay(0.2, end_learning_rate=0)).schedule(10)(5) == pytest.approx(0.1)


def test_nesterov_without_momentum_is_plain_descent() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer = SGD(0.1, nesterov=True).build([("weight", weight)])
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.item() == pytest.approx(0.9)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="compile.*unknown optimizer 'adm'. Did you mean 'adam'"):
        get_optimizer("adm")
    with pytest.raises(ConfigError, match="got 0.1, expected a name, or an object of class Optimizer"):
        get_optimizer(0.1)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"Adam.beta_1: got 1.0, expected a number in \[0, 1\)"):
        Adam(beta_1=1.0)
    with pytest.raises(ConfigError, match=r"AdamW.weight_decay: got None"):
        AdamW(weight_decay=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"SGD.momentum: got -0.1"):
        SGD(momentum=-0.1)
