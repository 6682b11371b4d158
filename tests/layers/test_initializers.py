import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, UnknownNameError


def test_names_and_instances() -> None:
    assert isinstance(layers.get_initializer("he_normal"), layers.HeNormal)
    held = layers.Constant(2.0)
    assert layers.get_initializer(held) is held
    with pytest.raises(UnknownNameError, match="unknown initializer 'he_norml'. Did you mean 'he_normal'"):
        layers.get_initializer("he_norml")
    with pytest.raises(ConfigError, match="initializer: got 3, expected a name or an Initializer"):
        layers.get_initializer(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "initializer",
    [layers.Constant(2.0), layers.RandomNormal(1.0, 2.0), layers.VarianceScaling(2.0, "fan_out", "uniform"),
     layers.Orthogonal(1.5), layers.GlorotUniform()],
)  # fmt: skip
def test_configs_come_back(initializer: layers.Initializer) -> None:
    again = layers.deserialize(layers.serialize(initializer))
    assert type(again) is type(initializer) and again.get_config() == initializer.get_config()
    draws = [each((5, 4), torch.Generator().manual_seed(1)) for each in (initializer, again)]
    assert torch.equal(*draws)


def test_refused_settings() -> None:
    with pytest.raises(ConfigError, match=r"VarianceScaling\.mode: got .fan., expected"):
        layers.VarianceScaling(mode="fan")
    with pytest.raises(ConfigError, match=r"VarianceScaling\.distribution: got .normal., expected"):
        layers.VarianceScaling(distribution="normal")


def test_the_generator_is_all_that_counts() -> None:
    torch.manual_seed(0)
    first = layers.GlorotNormal()((4, 5), torch.Generator().manual_seed(1))
    torch.manual_seed(1)
    assert torch.equal(first, layers.GlorotNormal()((4, 5), torch.Generator().manual_seed(1)))
