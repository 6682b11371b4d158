"""Layers around a layer: at every step, and in both directions."""

from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.config import deserialize, serialize
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.masks import takes
from lepton_ai.layers.sequences import SequenceLayer
from lepton_ai.layers.shapes import Shape, is_shape


class TimeDistributed(Layer):
    """A layer at each step of a series by itself, with the same weights.

    Shapes: `(B, T, ...)` in; `(B, T, ...)` out, the inner layer's answer behind `(B, T)`. All steps of a batch go
    through in one call, as rows: where rows meet, as in `BatchNormalization`, those of all steps do (in Keras, those
    of one step). A mask `(B, T)` passes; one of `(B, T, S)` is the inner layer's.

    Raises: ConfigError for what is no layer; ShapeError naming a layer.

    Example:
        >>> from lepton_ai.layers import Dense
        >>> TimeDistributed(Dense(4))(torch.ones(2, 5, 3)).shape
        torch.Size([2, 5, 4])
    """

    min_ndim = 3

    def __init__(self, layer: Layer, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ConfigError(at="TimeDistributed.layer", got=layer, expected="a layer")
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.path = f"{self.path}.layer"
        self.layer.ensure_built((None, *input_shape[2:]))

    def call(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        inner = {} if mask is None or mask.ndim < 3 or not takes(type(self.layer), "mask") else {"mask": _rows(mask)}
        output: Tensor = self.layer(_rows(x), **inner)
        return output.reshape(*x.shape[:2], *output.shape[1:])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the inputs; of a mask `(B, T, S)` what the inner layer leaves, or else which steps hold anything."""
        if mask is None or mask.ndim < 3:
            return mask
        left = self.layer.compute_mask(_rows(inputs), _rows(mask))
        return mask.flatten(2).any(-1) if left is None else left.reshape(*mask.shape[:2], *left.shape[1:])

    def compute_output_shape(self, input_shape: Any) -> Shape:
        inner = self.layer.compute_output_shape((None, *input_shape[2:]))
        if not is_shape(inner):
            raise ConfigError(f"{self.layer.label} gives several outputs, expected one", at=self.label)
        return (*input_shape[:2], *inner[1:])


class Bidirectional(Layer):
    """A recurrent layer that reads forward, and one that reads backward; their outputs in one (Schuster and Paliwal,
    1997).

    Shapes: `(B, T, D)` in; `(B, 2 * units)` out, or `(B, T, 2 * units)` with the layer's `return_sequences`; `units`
    instead of twice as many where `merge_mode` is not "concat". Its `return_state` adds the states of both. Weights
    are those of the forward, then those of the backward layer. At steps that a `mask` does not count, sequences are 0.

    Args:
        layer: a recurrent layer, of which two copies are made.
        merge_mode: "concat", "sum", "mul", "ave", or None: both outputs.
        weights: arrays to start from, as `get_weights` gives them.
        backward_layer: another layer for the backward direction, with `go_backwards=True`.

    Raises: ConfigError for layers that do not pair; ShapeError naming the layer.

    Example:
        >>> from lepton_ai.layers import LSTM
        >>> Bidirectional(LSTM(8))(torch.ones(2, 5, 3)).shape
        torch.Size([2, 16])
    """

    min_ndim = 3

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: list[Any] | None = None,
        backward_layer: Layer | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = "Bidirectional"
        for name, each in (("layer", layer), ("backward_layer", backward_layer)):
            if not isinstance(each, SequenceLayer) and not (name == "backward_layer" and each is None):
                raise ConfigError(at=f"{at}.{name}", got=each, expected="a recurrent layer, such as LSTM(8)")
        if merge_mode not in ("concat", "sum", "mul", "ave", None):
            raise ConfigError(at=f"{at}.merge_mode", got=merge_mode, expected='"concat", "sum", "mul", "ave" or None')
        self.merge_mode = merge_mode
        self.weights = weights
        self.forward_layer = _copy(layer, "forward")
        backward = _copy(layer, "backward", turned=True) if backward_layer is None else backward_layer
        assert isinstance(backward, SequenceLayer)
        self.backward_layer = backward
        for name in ("return_sequences", "return_state"):
            if getattr(self.backward_layer, name) != getattr(self.forward_layer, name):
                raise ConfigError(f"the layers have unequal {name}", at=at, fix=f"Give both the same {name}.")
        if self.backward_layer.go_backwards == self.forward_layer.go_backwards:
            fix = "Write backward_layer=LSTM(8, go_backwards=True)."
            raise ConfigError("both layers read in the same direction", at=at, fix=fix)
        for each in (self.forward_layer, self.backward_layer):
            each.zero_output_for_mask = each.return_sequences

    @property
    def layer(self) -> Layer:
        """The layer that reads forward."""
        return self.forward_layer

    def build(self, input_shape: Any) -> None:
        for name in ("forward_layer", "backward_layer"):
            each: Layer = getattr(self, name)
            if not each.built:
                each.path = f"{self.path}.{name}"
            each.ensure_built(input_shape)
        if self.weights is not None:
            self.built = True
            self.set_weights(self.weights)

    def call(self, x: Tensor, *, mask: Tensor | None = None, initial_state: Any = None) -> Any:
        starts: list[Any] = [None, None]
        if initial_state is not None:
            half = len(initial_state) // 2
            starts = [list(initial_state[:half]), list(initial_state[half:])]
        forward = self.forward_layer(x, mask=mask, initial_state=starts[0])
        backward = self.backward_layer(x, mask=mask, initial_state=starts[1])
        states: tuple[Tensor, ...] = ()
        if self.forward_layer.return_state:
            states = (*forward[1:], *backward[1:])
            forward, backward = forward[0], backward[0]
        if self.forward_layer.return_sequences:
            backward = backward.flip(1)
        merged = self._merge(forward, backward)
        return (*merged, *states) if states or len(merged) > 1 else merged[0]

    def _merge(self, forward: Tensor, backward: Tensor) -> tuple[Tensor, ...]:
        if self.merge_mode is None:
            return forward, backward
        if self.merge_mode == "concat":
            return (torch.cat((forward, backward), -1),)
        if self.merge_mode == "mul":
            return (forward * backward,)
        return ((forward + backward) / (2 if self.merge_mode == "ave" else 1),)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """With `return_sequences` that of the inputs; else there are no steps left."""
        output = mask if self.forward_layer.return_sequences else None
        count = 2 if self.merge_mode is None else 1
        states = 2 * len(self.forward_layer.state_shapes(tuple(inputs.shape))) if self.forward_layer.return_state else 0
        return [*[output] * count, *[None] * states] if states or count > 1 else output

    def compute_output_shape(self, input_shape: Any) -> Any:
        forward, backward = (
            each.compute_output_shape(input_shape) for each in (self.forward_layer, self.backward_layer)
        )
        states: tuple[Shape, ...] = ()
        if self.forward_layer.return_state:
            states = (*forward[1:], *backward[1:])
            forward, backward = forward[0], backward[0]
        if self.merge_mode is None:
            return (forward, backward, *states)
        output = (*forward[:-1], forward[-1] + backward[-1]) if self.merge_mode == "concat" else forward
        return (output, *states) if states else output

    def get_config(self) -> dict[str, Any]:
        """As of any layer; what `weights` held is among the weights."""
        return {**super().get_config(), "weights": None}


def _copy(layer: Layer, direction: str, turned: bool = False) -> SequenceLayer:
    """A new layer from the config of one, named after its direction."""
    config = serialize(layer)
    config["config"]["name"] = f"{direction}_{layer.name.removeprefix(f'{direction}_')}"
    if turned:
        config["config"]["go_backwards"] = True
    copied = deserialize(config)
    assert isinstance(copied, SequenceLayer)
    return copied


def _rows(x: Tensor) -> Tensor:
    """Steps as rows."""
    return x.flatten(0, 1)
