"""What every layer that adapts keeps, besides the promises of `Layer`."""

import numpy as np
import pandas as pd
import pytest
import torch

from lepton_ai.core import DataError, UsageError
from lepton_ai.layers import Fitted
from tests.contracts.layer import LayerContract


class FittedContract(LayerContract):
    """`make` gives a layer that was not adapted, of one example (B, F); `adapt` takes that example."""

    any_rank = True

    def adapted(self) -> Fitted:
        layer = self.make()
        assert isinstance(layer, Fitted)
        layer.adapt(self.example()[0])
        return layer

    def built(self) -> Fitted:
        return self.adapted()

    def test_it_builds_once(self) -> None:
        layer = self.adapted()
        before = {name: value.data_ptr() for name, value in layer.state_dict().items()}
        layer.adapt(self.example()[0] * 2)
        assert layer.built and before == {name: value.data_ptr() for name, value in layer.state_dict().items()}

    def test_it_says_that_it_was_not_adapted(self) -> None:
        layer = self.make()
        assert isinstance(layer, Fitted)
        with pytest.raises(UsageError) as caught:
            layer(*self.example())
        assert str(caught.value) == (
            f"{layer.label}: has no {layer.state} yet. Call adapt(x_train) before, on the training data."
        )

    def test_frames_lists_and_columns_are_data_too(self) -> None:
        x = self.example()[0]
        wanted = self.adapted()(x)
        for data in (pd.DataFrame(x.numpy()), x.tolist(), x.double().numpy()):
            layer = self.make()
            assert isinstance(layer, Fitted)
            layer.adapt(data)
            assert torch.equal(layer(x), wanted)
        column = self.make()
        assert isinstance(column, Fitted)
        column.adapt(x[:, 0].numpy())
        torch.testing.assert_close(column(x[:, :1]), wanted.reshape(*x.shape, -1)[:, 0])

    def test_gaps_are_left_out(self) -> None:
        x = self.example()[0]
        with_gaps = torch.cat((x, torch.full((3, x.shape[1]), torch.nan)))
        layer = self.make()
        assert isinstance(layer, Fitted)
        layer.adapt(with_gaps)
        assert torch.equal(layer(x), self.adapted()(x))

    def test_parts_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wanted = self.adapted().get_weights()
        monkeypatch.setattr("lepton_ai.layers.fitted._CHUNK", 8)
        for got, want in zip(self.adapted().get_weights(), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6)

    def test_data_that_is_none(self) -> None:
        layer = self.make()
        assert isinstance(layer, Fitted)
        with pytest.raises(DataError, match="got values of type <U1, expected numbers"):
            layer.adapt(np.array([["a", "b"]]))
        with pytest.raises(DataError, match=r"got \(0, 2\), expected a shape with rows"):
            layer.adapt(np.zeros((0, 2)))
        with pytest.raises(DataError, match="got only missing values, or infinite ones, in the features \\[1\\]"):
            layer.adapt(np.array([[1.0, np.inf], [2.0, 1.0]]))
