import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError
from tests.contracts.layer import noise


def test_names_and_instances() -> None:
    assert layers.get_regularizer(None) is None
    for name, kind in (("l1", layers.L1), ("l2", layers.L2), ("l1_l2", layers.L1L2), ("l1l2", layers.L1L2)):
        regularizer = layers.get_regularizer(name)
        assert type(regularizer) is kind and regularizer(noise(3, 3)) > 0
    with pytest.raises(ConfigError, match="regularizer: got 3, expected a name, a Regularizer or None"):
        layers.get_regularizer(3)  # type: ignore[arg-type]


def test_gradients_and_zero() -> None:
    weight = noise(3, 3).requires_grad_()
    torch.autograd.backward(layers.L2(0.5)(weight))
    assert weight.grad is not None
    assert (weight.grad - weight).abs().max() < 1e-6
    assert layers.L1L2()(weight) == 0


@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_penalties_are_not_negative(value: float) -> None:
    with pytest.raises(ConfigError, match=r"L2\.l2: got .*, expected a number >= 0"):
        layers.L2(value)
