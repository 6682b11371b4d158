"""A stack of layers."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Self

from torch import nn

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers import (
    Embedding,
    Input,
    Layer,
    Stage,
    SymbolicTensor,
    after_pooling,
    before_pooling,
    carry,
    deserialize,
    is_shape,
    pools_first,
    serialize,
)
from lepton_ai.models.foreign import TorchModule
from lepton_ai.models.front import Front, no_texts
from lepton_ai.models.graph import pick_inputs
from lepton_ai.models.model import Model
from lepton_ai.models.network import adopt, as_tensors, specs_of


class Sequential(Model):
    """Layers one after the other. Their weights are made as soon as the input's shape is known: from an `Input` or
    an `input_shape` in front, else from the first data. Any `torch.nn.Module` may stand among the layers.

    Example:
        >>> from lepton_ai.layers import Dense
        >>> model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(2)])
        >>> model.compute_output_shape((None, 4))
        (None, 2)
    """

    def __init__(
        self,
        layers: Iterable[Layer | nn.Module | SymbolicTensor] = (),
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        self._reached: Any = None  # the output's shape, once all layers are built
        for layer in layers:
            self.add(layer)
        if not trainable:
            self.trainable = False

    def add(self, layer: Any) -> None:
        """Put a layer on top.

        Raises: ConfigError if it is not one, or an `Input` is not at the bottom.
        """
        if isinstance(layer, SymbolicTensor):
            if layer.node.layer is not None or len(self._modules):
                raise ConfigError("only an Input at the bottom of a Sequential may be symbolic")
            self._expect(layer)
            return
        if isinstance(layer, nn.Module) and not isinstance(layer, Layer):
            layer = TorchModule(layer)
        if not isinstance(layer, Layer):
            fix = "Write Dense(10), with its arguments." if isinstance(layer, type) else "Give layers or modules."
            raise ConfigError(at=f"{self.label}.add", got=layer, expected="a layer", fix=fix)
        if (
            layer.input_shape is not None
            and not len(self._modules)
            and not self.input_specs
            and is_shape(layer.input_shape)
        ):
            dtype = "int64" if isinstance(layer, Embedding) else "float32"
            self._expect(Input(layer.input_shape[1:], dtype=dtype))
        if any(layer is each for each in self._modules.values()):
            fix = "Make another, or join them with Model(inputs, outputs), where layers can be shared."
            raise ConfigError(f"{layer.label} is in this stack already", at=f"{self.label}.add", fix=fix)
        self._check_front(layer)
        adopt(self, [layer])
        self.built = False
        if self.input_specs:
            try:
                self._find_front()
                self._build_top(layer)
            except BaseException:
                self._modules.popitem()  # what does not fit is not kept
                self._find_front()
                raise

    def pop(self) -> Layer:
        """Take the top layer off."""
        if not self._modules:
            raise ConfigError(f"{self.label} has no layers to pop")
        name = next(reversed(self._modules))
        layer = self._modules.pop(name)
        assert isinstance(layer, Layer)
        self._reached = None
        self._find_front()
        return layer

    def build(self, input_shape: Any) -> None:
        self.set_paths()
        shape = input_shape
        for layer in self.layers:
            layer.ensure_built(shape)
            shape = layer.compute_output_shape(shape)
        self._reached = shape

    def _build_top(self, layer: Layer) -> None:
        """Make the weights of a new layer, from the shape that those below it give."""
        if self._reached is None:
            self.ensure_built(self.input_specs[0].shape)
            return
        self.set_paths()
        layer.ensure_built(self._reached)
        self._reached = layer.compute_output_shape(self._reached)
        self.built = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As of any model; a dict of the one input is taken by its name."""
        if args and isinstance(args[0], dict) and self.front is None:
            if not self.input_specs and len(args[0]) == 1:
                self.input_specs = specs_of(as_tensors(args[0]))
            names = [spec.name for spec in self.input_specs]
            if len(names) != 1:
                if not self.built:
                    self.input_specs = []
                fix = "Give the array itself, or join layers of several inputs with Model(inputs, outputs)."
                raise DataError(at=self.label, got=sorted(args[0]), expected="one input", fix=fix)
            args = (pick_inputs(args[0], names)[0], *args[1:])
        return super().forward(*args, **kwargs)

    def call(self, x: Any, mask: Any = None, return_mask: bool = False) -> Any:
        layers: Any = self._modules.values()
        if self.front is not None:
            (x,), layers = x.values(), list(layers)[len(self.front.nodes) :]
        waiting = None  # the layer before, if its activation comes behind this one
        for layer, following in pairwise([*layers, None]):
            if waiting is not None:
                x, waiting = after_pooling(waiting, layer(x)), None
            elif mask is not None or layer.makes_mask:
                x, mask = carry(layer, (x,), {}, (mask,))
            elif pools_first(layer, following):
                x, waiting = before_pooling(layer, x), layer
            else:
                x = layer(x)
        return (x, mask) if return_mask else x

    def compute_output_shape(self, input_shape: Any) -> Any:
        for layer in self.layers:
            layer.check_shape(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def ensure_built(self, input_shape: Any) -> None:
        declared = self.input_specs[0].shape if self.input_specs else None
        if declared is not None and is_shape(input_shape):
            if len(declared) != len(input_shape) or any(
                want not in (None, got) and got is not None
                for want, got in zip(declared[1:], input_shape[1:], strict=True)
            ):
                first = self.layers[0].label if self._modules else self.label
                raise ShapeError(
                    f"got an input of shape {input_shape}, expected {declared}",
                    at=first,
                    fix="Reshape the data, or declare another input_shape.",
                )
            input_shape = declared
        super().ensure_built(input_shape)

    def summary(self) -> str:
        if not self.built and self.input_specs:
            self.ensure_built(self.input_specs[0].shape)
        return super().summary()

    def get_config(self) -> dict[str, Any]:
        spec = self.input_specs[0] if self.input_specs else None
        return {
            "name": self.name,
            "trainable": self._trainable,
            "input": None if spec is None else {"name": spec.name, "shape": list(spec.shape[1:]), "dtype": spec.dtype},
            "layers": [serialize(layer) for layer in self.layers],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        spec = config["input"]
        start = [] if spec is None else [Input(tuple(spec["shape"]), dtype=spec["dtype"], name=spec["name"])]
        layers = [deserialize(each) for each in config["layers"]]
        return cls([*start, *layers], name=config["name"], trainable=config["trainable"])

    def _check_front(self, layer: Layer) -> None:
        """Stages come first, behind an input that says what it holds; nothing else takes strings."""
        at = f"{self.label}.add"
        if isinstance(layer, Model) and layer.front is not None:
            fix = "Put its stages, then its other layers, into this stack."
            raise ConfigError(f"{layer.label} has stages of its own, which cannot stand inside a model", at=at, fix=fix)
        below = next(reversed(self._modules.values()), None)
        if isinstance(layer, Stage):
            if below is not None and not isinstance(below, Stage):
                fix = "Stages come first: right behind an Input, or behind other stages."
                raise ConfigError(f"{layer.label} stands behind a layer that torch computes", at=at, fix=fix)
            if not self.input_specs:
                fix = 'Begin with Input((), dtype="string").'
                raise ConfigError(f"{layer.label} needs an Input below it, which says what it holds", at=at, fix=fix)
        elif self.input_specs:
            tip = self.input_specs[0] if self.front is None else next(iter(self.front.ends.values()))
            if tip.dtype == "string":
                raise no_texts(layer.label, tip)

    def _find_front(self) -> None:
        stages = [layer for layer in self._modules.values() if isinstance(layer, Stage)]
        if not stages:
            self.front = None
        elif self.front is None or [node.layer for node in self.front.nodes] != stages:
            x = self.input_specs[0]
            for stage in stages:
                x = stage(x)
            self.front = Front(self.input_specs, [x])

    def _expect(self, spec: SymbolicTensor) -> None:
        spec.name = spec.name or "input"
        self.input_specs = [spec]
        self.input_shape = spec.shape
