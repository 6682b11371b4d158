from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError, UsageError
from lepton_ai.layers import Fitted
from tests.contracts.layer import noise


class Shift(Fitted):
    """A layer of a user's own: everything less the greatest number of the training data."""

    state = "greatest number"
    greatest: torch.Tensor

    def build(self, input_shape: object) -> None:
        self.add_buffer("greatest", ())

    def fit_to(self, values: torch.Tensor) -> None:
        self.greatest.copy_(values.max())

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.greatest


def test_a_layer_of_ones_own_adapts() -> None:
    layer = Shift(name="shift")
    with pytest.raises(UsageError, match=r"Shift 'shift': has no greatest number yet\. Call adapt\(x_train\) before"):
        layer(noise(2, 3))
    layer.adapt([1, 5, 3])
    assert layer(torch.tensor([[5.0, 6.0]])).tolist() == [[0.0, 1.0]]
    other = Shift()
    other.ensure_built((None, 1))
    other.load_state_dict(layer.state_dict())
    assert other(torch.tensor([[5.0]])).item() == 0.0
    other.adapt([7.0])
    assert other(torch.tensor([[7.0]])).item() == 0.0


def test_nothing_to_set_is_no_state() -> None:
    layer = layers.IntegerLookup()
    layer.set_weights([])
    assert not layer.adapted


def test_statistics_along_several_axes() -> None:
    x = noise(20, 4, 3, 2).numpy()
    layer = layers.RobustScaling(axis=(1, -1))
    layer.adapt(x)
    np.testing.assert_allclose(layer.adapted_center, np.median(x, (0, 2)), rtol=1e-6)
    y = layer(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(np.median(y, (0, 2)), 0, atol=1e-6)
    whole = layers.MinMaxScaling(axis=None)
    whole.adapt(x)
    assert float(whole(torch.from_numpy(x)).max()) == pytest.approx(1)


def test_shapes_that_do_not_fit() -> None:
    layer = layers.MinMaxScaling(name="scale")
    layer.adapt(noise(5, 3))
    with pytest.raises(ShapeError, match=r"'scale': got an input of shape \(2, 1\), expected 3 at axis -1"):
        layer(noise(2, 1))
    with pytest.raises(ShapeError, match=r"got an input of shape \(None, None\), expected fixed sizes at axis -1"):
        layers.MinMaxScaling().ensure_built((None, None))
    with pytest.raises(ConfigError, match=r"Imputation\.axis: got 0, expected axes other than 0, the batch, or None"):
        layers.Imputation(axis=0)


def test_a_memory_map_is_data_too(tmp_path: Path) -> None:
    data = noise(50, 2).numpy()
    np.save(tmp_path / "x.npy", data)
    layer, wanted = layers.RobustScaling(), layers.RobustScaling()
    layer.adapt(np.load(tmp_path / "x.npy", mmap_mode="r"))
    wanted.adapt(data)
    assert torch.equal(layer(noise(3, 2)), wanted(noise(3, 2)))
