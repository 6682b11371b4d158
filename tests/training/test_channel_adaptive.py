import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lepton_ai.core import ConfigError
from lepton_ai.training.channel_adaptive import ChannelAdaptive, channel_axis
from lepton_ai.training.schedules import WarmUp
from tests.contracts.optimizer import OptimizerContract


class TestChannelAdaptive(OptimizerContract):
    name, optimizer = "channel_adaptive", ChannelAdaptive(0.05)

    def test_is_found_by_name_in_any_case(self) -> None:
        super().test_is_found_by_name_in_any_case()


class TestChannelAdaptiveWithDecay(OptimizerContract):
    name, optimizer = "ChannelAdaptive", ChannelAdaptive(0.05, momentum=0.0, weight_decay=1e-3, decay_fraction=0.6)


def by_hand(weight: Tensor, gradients: list[Tensor], axis: int, settings: ChannelAdaptive, rate: float) -> Tensor:
    """The formula of the docstring, channel by channel."""
    weight = weight.clone().movedim(axis, 0)
    running = [0.0] * len(weight)
    moment = torch.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        for k, own in enumerate(gradient.movedim(axis, 0)):
            running[k] = settings.rho * running[k] + (1 - settings.rho) * float(own.square().mean())
            root = (running[k] / (1 - settings.rho**step)) ** 0.5
            moment[k] = settings.momentum * moment[k] + (1 - settings.momentum) * own / (root + settings.epsilon)
        weight = weight * (1 - rate * (settings.weight_decay or 0.0)) - rate * moment
    return weight.movedim(0, axis)


@given(
    shape=st.sampled_from([(), (1,), (5,), (3, 4), (4, 3, 2), (2, 3, 3, 3)]),
    axis=st.integers(0, 1),
    steps=st.integers(1, 4),
    momentum=st.sampled_from([0.0, 0.9]),
    rho=st.sampled_from([0.0, 0.5, 0.99]),
    decay=st.sampled_from([None, 0.01]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_the_formula(
    shape: tuple[int, ...], axis: int, steps: int, momentum: float, rho: float, decay: float | None, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
    if len(shape) > 1:
        weight.channel_axis = axis  # type: ignore[attr-defined]
    gradients = [torch.randn(shape, generator=generator, dtype=torch.float64) * 10 for _ in range(steps)]
    optimizer = ChannelAdaptive(0.1, momentum, rho, weight_decay=decay)
    expected = (
        by_hand(weight.data, gradients, channel_axis(weight), optimizer, 0.1)
        if shape
        else by_hand(weight.data[None], [each[None] for each in gradients], 0, optimizer, 0.1)[0]
    )
    built = optimizer.build([("weight", weight)])
    for gradient in gradients:
        weight.grad = gradient.clone()
        built.step()
        assert torch.equal(weight.grad, gradient)
    torch.testing.assert_close(weight.data, expected, rtol=1e-10, atol=1e-12)


def test_channels_of_any_scale_move_alike() -> None:
    weight = nn.Parameter(torch.zeros(3, 4))
    built = ChannelAdaptive(0.1).build([("weight", weight)])
    direction = torch.tensor([1.0, -2.0, 3.0, 0.5])
    weight.grad = direction * torch.tensor([[1e-4], [1.0], [1e4]])
    built.step()
    torch.testing.assert_close(weight.data[0], weight.data[1], rtol=1e-2, atol=0)
    torch.testing.assert_close(weight.data[1], weight.data[2])
    assert torch.nn.functional.cosine_similarity(weight.data[1], -direction, dim=0) > 0.9999


def test_a_channel_without_gradient_stays() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    built = ChannelAdaptive(0.1).build([("weight", weight)])
    weight.grad = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    built.step()
    assert torch.equal(weight.data[0], torch.ones(2)) and bool((weight.data[1] < 1).all())


def test_state_has_one_array_of_the_weights_size() -> None:
    convolution = nn.Conv2d(8, 16, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    built = ChannelAdaptive().build(convolution.named_parameters())
    convolution(torch.ones(1, 8, 5, 5)).sum().backward()
    built.step()
    state = built.state[convolution.weight]
    assert state["mean_square"].shape == (16, 1, 1, 1)
    assert state["momentum"].stride() == convolution.weight.stride()
    assert copy.deepcopy(built).state_dict()["state"][0]["momentum"].shape == (16, 8, 3, 3)


def test_the_rate_falls_at_the_end_of_a_run_of_known_length() -> None:
    schedule = ChannelAdaptive(0.2, decay_fraction=0.5, final_fraction=0.1).schedule(101)
    assert [schedule(step) for step in (0, 50, 75, 100, 200)] == pytest.approx([0.2, 0.2, 0.11, 0.02, 0.02])
    assert ChannelAdaptive(0.2).schedule(None)(10**6) == 0.2
    assert ChannelAdaptive(0.2, decay_fraction=0).schedule(100)(99) == 0.2
    warm = ChannelAdaptive(WarmUp(0.2, 10), final_fraction=0.0).schedule(101)
    assert [warm(step) for step in (0, 5, 50, 100)] == pytest.approx([0.0, 0.1, 0.2, 0.0])


def test_a_closure_is_evaluated_with_gradients() -> None:
    weight = nn.Parameter(torch.ones(2))
    built = ChannelAdaptive(0.1, momentum=0.0).build([("weight", weight)])

    def closure() -> float:
        loss = weight.square().sum()
        torch.autograd.backward(loss)
        return float(loss.detach())

    assert built.step(closure) == 2.0
    torch.testing.assert_close(weight.data, torch.full((2,), 0.9))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"ChannelAdaptive.rho: got 1, expected a number in \[0, 1\)"):
        ChannelAdaptive(rho=1)
    with pytest.raises(ConfigError, match=r"ChannelAdaptive.decay_fraction: got 2"):
        ChannelAdaptive(decay_fraction=2)
