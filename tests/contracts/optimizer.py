"""What every optimiser keeps: it learns, repeats itself, goes on from a stored state, and stores its settings."""

import json
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, UnknownNameError, UsageError
from lepton_ai.training.optimizers import Optimizer, get_optimizer
from lepton_ai.training.schedules import CosineDecay

torch.set_num_threads(1)


class OptimizerContract:
    """A child names the optimiser and gives one with a rate at which the small problem is learnt."""

    name: ClassVar[str]
    optimizer: ClassVar[Optimizer]

    def problem(self) -> tuple[nn.Sequential, Tensor, Tensor]:
        """A small network and its data."""
        generator = torch.Generator().manual_seed(7)
        model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.5, generator=generator)
        x = torch.randn(64, 5, generator=generator)
        return model, x, x[:, :1] - 2 * x[:, 1:2]

    def train(self, steps: int, fused: bool = True, break_at: int | None = None) -> tuple[float, dict[str, Tensor]]:
        """The last loss and the weights; at `break_at` the state goes through a fresh optimiser."""
        model, x, y = self.problem()
        optimizer = self.optimizer.build(model.named_parameters(), fused=fused)
        schedule = self.optimizer.schedule(steps)
        loss = torch.zeros(())
        for step in range(steps):
            if step == break_at:
                state = optimizer.state_dict()["state"]
                optimizer = self.optimizer.build(model.named_parameters(), fused=fused)
                optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
            for group in optimizer.param_groups:
                group["lr"] = schedule(step)
            optimizer.zero_grad()
            loss = ((model(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
        return float(loss.detach()), {name: value.clone() for name, value in model.state_dict().items()}

    def test_learns(self) -> None:
        assert self.train(150)[0] < 0.05 * self.train(1)[0]

    def test_repeats_bitwise(self) -> None:
        first, second = self.train(20)[1], self.train(20)[1]
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_fused_is_the_same_rule(self) -> None:
        fused, plain = self.train(20)[1], self.train(20, fused=False)[1]
        for name in fused:
            torch.testing.assert_close(fused[name], plain[name], rtol=1e-5, atol=1e-6)

    def test_goes_on_bitwise_from_a_stored_state(self) -> None:
        through, broken = self.train(20)[1], self.train(20, break_at=11)[1]
        assert all(torch.equal(through[name], broken[name]) for name in through)

    def test_state_is_made_of_tensors(self) -> None:
        model, x, y = self.problem()
        optimizer = self.optimizer.build(model.named_parameters())
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
        for state in optimizer.state_dict()["state"].values():
            assert all(value is None or isinstance(value, Tensor) for value in state.values())

    def test_frozen_weights_stay_and_unused_ones_do_no_harm(self) -> None:
        model, x, y = self.problem()
        first = next(model.parameters())
        first.requires_grad_(False)
        unused = nn.Parameter(torch.ones(3))
        before = first.clone()
        optimizer = self.optimizer.build([*model.named_parameters(), ("unused", unused)])
        ((model(x) - y) ** 2).mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.1
        optimizer.step()
        assert torch.equal(first, before) and torch.equal(unused, torch.ones(3))
        with pytest.raises(UsageError, match=f"{type(self.optimizer).__name__}: no parameter trains"):
            self.optimizer.build([("weight", first)])

    def test_settings_survive_storage(self) -> None:
        again = get_optimizer(json.loads(json.dumps(self.optimizer.config())))
        assert type(again) is type(self.optimizer) and again.config() == self.optimizer.config()
        scheduled = type(self.optimizer)(learning_rate=CosineDecay(0.1, alpha=0.5))  # type: ignore[call-arg]
        again = get_optimizer(json.loads(json.dumps(scheduled.config())))
        assert again.config() == scheduled.config()
        assert again.schedule(10)(3) == scheduled.schedule(10)(3)

    def test_is_found_by_name_in_any_case(self) -> None:
        kind = type(self.optimizer)
        for name in (self.name, kind.__name__, kind.__name__.upper(), kind):
            assert type(get_optimizer(name)) is kind

    def test_refuses_settings_that_cannot_be(self) -> None:
        kind = type(self.optimizer)
        with pytest.raises(
            ConfigError, match=rf"{kind.__name__}.learning_rate: got -1, expected a number in \[0, inf\)"
        ):
            kind(learning_rate=-1)  # type: ignore[call-arg]
        with pytest.raises(ConfigError, match="learning_rate: got 'fast'"):
            kind(learning_rate="fast")  # type: ignore[call-arg, arg-type]
        with pytest.raises(UnknownNameError, match=f"unknown argument {kind.__name__} 'weight_decy'.*'weight_decay'"):
            get_optimizer({"class": kind.__name__, "config": {"weight_decy": 0.1}})

    def test_weight_decay_is_decoupled(self) -> None:
        decayed = get_optimizer({"class": type(self.optimizer).__name__, "config": {"weight_decay": 0.1}})
        weight = nn.Parameter(torch.full((2, 2), 3.0))
        optimizer = decayed.build([("weight", weight)])
        weight.grad = torch.zeros(2, 2)
        for group in optimizer.param_groups:
            group["lr"] = 0.5
        optimizer.step()
        torch.testing.assert_close(weight.data, torch.full((2, 2), 3.0 * (1 - 0.5 * 0.1)))
