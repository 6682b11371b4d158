"""A loss that is not finite: the message names the layer, the step and the rows."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.core import DivergedError
from lepton_ai.layers import BatchNormalization, Dense, Dropout, Input, Layer
from lepton_ai.models import Model, Sequential
from lepton_ai.training import SGD, MixUp
from tests.contracts.fitting import finite, table

X, Y = table()


class Root(Layer):
    """The square root, of negative numbers too."""

    def call(self, x: Tensor) -> Tensor:
        return x.sqrt()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def diverged(model: Any, x: Any, y: Any, loss: str = "mse", **options: Any) -> str:
    model.compile(options.pop("optimizer", SGD(0.01)), loss)
    with pytest.raises(DivergedError) as caught:
        model.fit(x, y, verbose=0, shuffle=False, **options)
    assert finite(model)
    return str(caught.value)


def rooted() -> Sequential:
    """Its root is of a number below 0 in the rows 13 and 15."""
    return Sequential([Root(name="root", input_shape=(4,)), Dropout(0.3), Dense(1)])


def spoilt() -> Any:
    x = np.abs(X) + 1
    x[[13, 15], 2] = -9
    return x


def test_the_first_layer_is_named() -> None:
    text = diverged(rooted(), spoilt(), Y, batch_size=10, seed=4)
    assert text.startswith("fit: the loss became nan in epoch 1, step 2; the model keeps the weights from just before")
    assert "that step. The output of layer 'root' (Root) is not finite in rows 3, 5 of the batch. Lower the" in text


def test_in_a_model_within_a_model() -> None:
    inner = Sequential([Input((4,)), Root(name="root")], name="inner")
    x = Input((4,))
    assert "output of layer 'inner.root' (Root) is not finite in rows 3, 5 of" in diverged(
        Model(x, Dense(1)(inner(x))), spoilt(), Y, batch_size=10
    )


def test_rows_are_counted_over_all_batches_of_a_step() -> None:
    optimizer = SGD(0.01, gradient_accumulation_steps=4)
    text = diverged(rooted(), spoilt(), Y, batch_size=5, optimizer=optimizer, augment=None)
    assert "epoch 1, step 1;" in text and "is not finite in row 13 of the batch" in text


def test_mixed_rows_are_found() -> None:
    assert "(Root) is not finite in row" in diverged(rooted(), spoilt(), Y, batch_size=10, augment=MixUp())


def test_many_rows_are_counted() -> None:
    text = diverged(rooted(), -np.abs(X), Y, batch_size=25)
    assert "is not finite in rows 0, 1, 2, 3, 4 and 20 more of the batch" in text


def test_a_module_of_one_s_own() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inside(x.sqrt())
            return out

    text = diverged(Model.from_module(Own(), input_shape=(4,)), spoilt(), Y, batch_size=10)
    assert "(Own) is not finite in rows 3, 5 of the batch" in text


def test_the_loss_is_named_where_the_outputs_are_finite() -> None:
    y = np.ones((8, 1), "float32")
    y[5] = 3e38
    text = diverged(Sequential([Dense(1, input_shape=(4,))]), X[:8], y, batch_size=4)
    assert "step. The loss mean_squared_error of output '" in text
    assert "' is not finite in row 1 of the batch, though the output is. Lower" in text


def test_weights_that_a_gradient_broke_are_named() -> None:
    x = np.ones((4, 1), "float32")
    x[1] = 0
    model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(1,)), Root()])
    text = diverged(model, x, x, batch_size=1)
    assert "The weight of layer 'dense' (Dense) was not finite before the step: the gradient of the step before" in text
    last = diverged(
        Sequential([Dense(1, kernel_initializer="ones", input_shape=(1,)), Root()]), x[:2], x[:2], batch_size=1
    )
    assert "after the last step of epoch 1" in last and "The weight of layer 'dense' (Dense) was not finite. L" in last


def test_looking_changes_no_statistics() -> None:
    seen: list[Any] = []

    class Watch(BatchNormalization):
        def call(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            out: Tensor = super().call(x, mask)
            if self.training:
                seen.append(self.state_dict())
                seen[-1] = {name: value.clone() for name, value in seen[-1].items()}
            return out

    model = Sequential([Watch(input_shape=(4,)), Root(name="root"), Dense(1)])
    text = diverged(model, X, Y, batch_size=25)
    assert "'root' (Root)" in text and len(seen) == 2  # once in the step, once in the search
    assert all(torch.equal(seen[0][name], value) for name, value in model.layers[0].state_dict().items())
