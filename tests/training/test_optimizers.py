from pathlib import Path

import pytest
import torch
from torch import nn

from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.training.light_step import FusedAdamW, FusedSGD
from lepton_ai.training.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RMSprop,
    ScheduleFreeAdamW,
    get_optimizer,
)
from lepton_ai.training.schedules import Constant, CosineDecay, PolynomialDecay
from tests.contracts.fitting import InterruptAt, compiled, mlp, same_state, table
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


class TestAdagrad(OptimizerContract):
    name, optimizer = "adagrad", Adagrad(0.3)


class TestAdadelta(OptimizerContract):
    name, optimizer = "adadelta", Adadelta(10.0)


class TestAdamax(OptimizerContract):
    name, optimizer = "adamax", Adamax(0.05)


class TestNadam(OptimizerContract):
    name, optimizer = "nadam", Nadam(0.05, weight_decay=1e-3)


class TestFtrl(OptimizerContract):
    name, optimizer = "ftrl", Ftrl(0.5)

    def test_weight_decay_is_decoupled(self) -> None:
        """It makes weights anew from sums: one without a gradient becomes 0, and decay moves what the sums see."""
        paths = []
        for decay in (None, 0.1):
            weight = nn.Parameter(torch.full((2, 2), 3.0))
            optimizer = Ftrl(0.5, weight_decay=decay).build([("weight", weight)])
            weight.grad = torch.ones(2, 2)
            optimizer.step()
            paths.append(weight.data.clone())
        assert bool((paths[0] > paths[1]).all())


class TestLion(OptimizerContract):
    name, optimizer = "lion", Lion(CosineDecay(0.03))


class TestLamb(OptimizerContract):
    name, optimizer = "lamb", Lamb(0.05)


class TestAdafactor(OptimizerContract):
    name, optimizer = "adafactor", Adafactor(0.2)


class TestMuon(OptimizerContract):
    name, optimizer = "muon", Muon(CosineDecay(0.1, alpha=0.05))


class TestScheduleFreeAdamW(OptimizerContract):
    name, optimizer = "schedulefreeadamw", ScheduleFreeAdamW(0.05, warmup_steps=5)


def test_a_weight_that_joins_late_starts_at_its_own_first_step() -> None:
    for kind in (Nadam, Lamb, Adafactor):
        early, late = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        both = kind(0.1).build([("early", early), ("late", late)])
        for step in range(3):
            early.grad = torch.tensor([0.3, -0.2])
            late.grad = early.grad.clone() if step == 2 else None
            both.step()
        alone = nn.Parameter(torch.ones(2))
        optimizer = kind(0.1).build([("weight", alone)])
        alone.grad = torch.tensor([0.3, -0.2])
        optimizer.step()
        assert torch.equal(late, alone) and not torch.equal(early, late)


def test_muon_takes_matrices_that_are_not_excluded() -> None:
    weights = {
        name: nn.Parameter(torch.ones(shape))
        for name, shape in (("dense.kernel", (2, 3)), ("token_embedding.table", (4, 2)), ("conv.kernel", (2, 2, 3, 3)),
                            ("head.kernel", (2, 2)), ("dense.bias", (2,)))
    }  # fmt: skip
    optimizer = Muon(exclude_layers=["^head"]).build(weights.items())
    for weight in weights.values():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    taken = {name for name, weight in weights.items() if "velocity" not in optimizer.state[weight]}
    assert taken == {"dense.kernel"}
    only = Muon().build([("dense.kernel", weights["dense.kernel"])])
    assert len(only.param_groups) == 1
    with pytest.raises(ConfigError, match=r"Muon.exclude_layers: '\(' is no regular expression"):
        Muon(exclude_layers=["("])


def test_muon_s_step_is_near_an_orthogonal_matrix() -> None:
    weight = nn.Parameter(torch.zeros(6, 4, dtype=torch.float64))
    optimizer = Muon(1.0, weight_decay=None, rms_rate=None).build([("kernel", weight)])
    weight.grad = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    optimizer.step()
    values = torch.linalg.svdvals(weight.data)
    assert float(values.min()) > 0.5 and float(values.max()) < 1.3


def test_adafactor_keeps_rows_and_columns_only() -> None:
    weight = nn.Parameter(torch.ones(8, 4, 3, 3))
    optimizer = Adafactor().build([("kernel", weight)])
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert {name: tuple(value.shape) for name, value in optimizer.state[weight].items()} == {
        "step": (),
        "rows": (8, 3, 3),
        "columns": (4, 3, 3),
    }


@pytest.mark.parametrize("kind", [Adafactor, Ftrl, Lamb, Muon, Nadam, ScheduleFreeAdamW])
def test_fit_goes_on_exactly_where_it_was_stopped(kind: type[Optimizer], tmp_path: Path) -> None:
    x, y = table()
    whole, again = compiled(mlp(), kind()), compiled(mlp(), kind())  # type: ignore[call-arg]
    whole.fit(x, y, batch_size=10, epochs=3, verbose=0)
    assert again.fit(x, y, batch_size=10, epochs=3, verbose=0, run=tmp_path, callbacks=[InterruptAt(1, 2)]).interrupted
    again.fit(x, y, batch_size=10, epochs=3, verbose=0, run=tmp_path)
    assert same_state(whole, again)


def test_defaults_are_those_of_keras() -> None:
    assert repr(get_optimizer("adam")) == (
        "Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False, weight_decay=None)"
    )
    assert AdamW().weight_decay == 0.004


def test_fused_kernels_are_taken_where_torch_has_them() -> None:
    named = [("weight", nn.Parameter(torch.ones(2)))]
    for kind in (SGD, Adam, AdamW):
        assert isinstance(kind().build(named), FusedSGD | FusedAdamW)
        assert not isinstance(kind().build(named, fused=False), FusedSGD | FusedAdamW)


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
