"""The network: layers joined into one, which knows its inputs, its outputs and where each layer stands."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, ShapeError, UsageError, unique_name, unknown_name
from lepton_ai.layers import Input, Layer, SymbolicTensor, is_shape, is_symbolic, leaves, map_leaves, takes, within
from lepton_ai.models.architecture import Architecture
from lepton_ai.models.front import Front, split
from lepton_ai.models.graph import Graph, pick_inputs


class Network(Layer):
    """What `Model` is before it learns: a graph between symbolic inputs and outputs, or a subclass' `call`.

    `input_specs` are the inputs, once they are known. `samples` are rows that the model was given, for the bundle.
    """

    samples: Any = None
    front: Front | None = None  # the stages, where there are any
    subclassed = True  # not so where the graph is all there is to store
    by_name = False  # whether a foreign module takes its inputs by name

    def __init__(
        self, inputs: Any = None, outputs: Any = None, *, name: str | None = None, trainable: bool = True
    ) -> None:
        super().__init__(name=name, trainable=trainable)
        self.graph: Graph | None = None
        self.core: Graph | None = None  # of the graph, what torch computes
        self.input_specs: list[SymbolicTensor] = []
        if (inputs is None) != (outputs is None):
            raise ConfigError("Model needs inputs and outputs, or neither (when subclassed)")
        if inputs is None:
            return
        self.graph = Graph(inputs, outputs)
        self.input_specs = self.graph.sources
        adopt(self, self.graph.layers)
        self.front, self.core = split(self.graph) or (None, self.graph)
        self.set_paths()
        self.graph.build()
        shapes = tuple(source.shape for source in self.graph.sources)
        self.input_shape = shapes[0] if len(shapes) == 1 else shapes
        self.built = True
        if not trainable:
            self.trainable = False

    # -- the call ---------------------------------------------------------------------------------------

    def run_graph(self, x: Any, mask: Any = None, return_mask: bool = False) -> Any:
        """Run the graph; a subclass overrides it. `mask` is that of the inputs; with `return_mask` the answer is a
        pair with the mask of the outputs."""
        if self.core is None:
            raise UsageError(f"{type(self).__name__} has no call()", fix="Define call(self, x) in the subclass.")
        outputs, masks = self.core.run(x, mask)
        return (outputs, masks) if return_mask else outputs

    call: Callable[..., Any] = run_graph

    @property
    def makes_mask(self) -> bool:  # type: ignore[override]
        """Whether a layer inside makes a mask, which may reach the outputs."""
        return takes(type(self), "return_mask") and any(layer.makes_mask for layer in self.layers)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the outputs, found by running the model."""
        if not takes(type(self), "return_mask"):
            return super().compute_mask(inputs, mask)
        return self(inputs, mask=mask, return_mask=True)[1]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As of any layer; arrays are taken too, and `training=` as Keras does."""
        training = kwargs.pop("training", None)
        if self.front is not None and args:
            args = (self._encoded(self.front, args[0]), *args[1:])
        args = tuple(as_tensors(arg) for arg in args)
        if not self.built and next(leaves((args, kwargs), is_symbolic), None) is None:
            self.set_paths()
            if not self.input_specs and len(args) == 1:
                self.input_specs = specs_of(args[0])
        if training is None or training == self.training:
            return super().forward(*args, **kwargs)
        before = self.training
        self.train(training)
        try:
            return super().forward(*args, **kwargs)
        finally:
            self.train(before)

    def _encoded(self, front: Front, x: Any) -> Any:
        if next(leaves(x, is_symbolic), None) is not None:
            fix = "Call its stages on the Input, and the model without them on what they give."
            raise ConfigError("has stages of its own, which cannot stand inside a model", at=self.label, fix=fix)
        return x if front.is_encoded(x) else self.on_own_device(front.encode(x))

    def ensure_built(self, input_shape: Any) -> None:
        super().ensure_built(input_shape)
        if not self.input_specs and is_shape(input_shape):
            self.input_specs = [Input(input_shape[1:], name="input")]

    def set_paths(self) -> None:
        """Tell every layer where it stands: its weights and its random draws are functions of that."""
        # Inside another model, what that one said comes first: equal layers of two towers start differently.
        prefix = "" if "#" in self.path else f"{self.path}."
        for path, module in self.named_modules():
            if isinstance(module, Layer) and not module.built:
                module.track()  # before the walk goes on into it
                module.path = f"{prefix}{path}" if path else module.path

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.graph is None:
            return super().compute_output_shape(input_shape)
        shape = input_shape if is_shape(input_shape) else next(leaves(input_shape, is_shape))
        batch = shape[0]
        if isinstance(self.graph.outputs, dict):
            return {name: (batch, *tensor.shape[1:]) for name, tensor in self.graph.outputs.items()}
        result = [(batch, *tensor.shape[1:]) for tensor in leaves(self.graph.outputs, is_symbolic)]
        return result[0] if len(result) == 1 else tuple(result)

    def on_own_device(self, x: Any) -> Any:
        """Inputs where the weights are."""
        weight = next(self.parameters(), None)
        return x if weight is None else map_leaves(lambda each: each.to(weight.device), x, _is_tensor)

    def check_inputs(self, x: Any) -> None:
        """Refuse data whose shapes do not fit the model.

        Raises: ShapeError naming the input and both shapes; DataError for a missing input or one too many.
        """
        if self.front is not None:
            self.front.is_encoded(x) or self.front.conform(x)
            return
        if not self.input_specs:
            return
        tensors = pick_inputs(x, [spec.name for spec in self.input_specs])
        if not self.built:
            return
        for spec, tensor in zip(self.input_specs, tensors, strict=True):
            wanted, got = spec.shape[1:], tuple(tensor.shape[1:])
            if len(wanted) != len(got) or any(w not in (None, g) for w, g in zip(wanted, got, strict=True)):
                raise ShapeError(
                    f"got examples of shape {got}, expected {tuple(wanted)}",
                    at=f"input {spec.name!r} of {self.label}",
                    fix="Reshape the data, or build the model for this shape."
                    if len(wanted) == len(got)
                    else "The batch comes first and channels last: one grey image more is x[..., None].",
                )

    def output_names(self) -> list[str] | None:
        """The names of a graph's several outputs, those of the layers that make them; None where it has one."""
        if self.graph is None or isinstance(self.graph.outputs, dict):
            return None
        ends = list(leaves(self.graph.outputs, is_symbolic))
        names = [end.name if end.node.layer is None else end.node.layer.name for end in ends]
        return names if len(ends) > 1 and len(set(names)) == len(names) else None

    # -- layers and storage -----------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside, in order."""
        return [module for _, module in within(self) if isinstance(module, Layer)]

    def parts(self) -> dict[str, nn.Module]:
        """What a summary lists, by name: the modules directly inside."""
        return dict(within(self))

    def get_layer(self, name: str) -> Layer:
        """The layer called `name`.

        Raises: UnknownNameError with the nearest name.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise unknown_name("layer", name, [layer.name for layer in self.layers], at=self.label)

    def architecture(self) -> Architecture:
        """How to build this again."""
        described = {"class": type(self).__name__, "config": self.get_config()}
        return Architecture(kind="config", model=described, inputs=self.described_inputs())

    def described_inputs(self) -> list[dict[str, Any]]:
        """The inputs as JSON can hold them."""
        return [{"name": s.name, "shape": list(s.shape[1:]), "dtype": s.dtype} for s in self.input_specs]

    def get_config(self) -> dict[str, Any]:
        if self.graph is not None and not self.subclassed:
            return {"name": self.name, "trainable": self._trainable, "graph": self.graph.get_config()}
        config = super().get_config()
        config.pop("inputs", None)
        config.pop("outputs", None)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if "graph" not in config:
            return super().from_config(config)
        graph = Graph.from_config(config["graph"])
        return cls(graph.inputs, graph.outputs, name=config["name"], trainable=config["trainable"])


def adopt(model: nn.Module, layers: list[Layer]) -> None:
    """Give layers names that are unique in the model, and make them its children."""
    held = [child for child in model.children() if isinstance(child, Layer)]
    taken = {*(each.name for each in held), *(layer.name for layer in layers if not layer.auto_named)}
    for layer in layers:
        if any(layer is each for each in held):
            continue
        if layer.auto_named:
            layer.name, layer.auto_named = unique_name(layer.name, taken), False
        if any(layer.name == each.name for each in held):
            raise ConfigError(
                f"the layer name {layer.name!r} is taken in {getattr(model, 'name', model)!r}",
                fix='Give the layer another: Dense(64, name="hidden").',
            )
        held.append(layer)
        key = layer.name
        while hasattr(model, key):  # an output may well be called "label" or "history", as attributes of ours are
            key += "_"
        model.add_module(key, layer)


def specs_of(x: Any) -> list[Any]:
    """Input specs read off data: shapes without the batch, and dtypes as they came."""
    named = x.items() if isinstance(x, dict) else [("", each) for each in (x if isinstance(x, tuple | list) else [x])]
    specs = [
        Input(tuple(value.shape[1:]), dtype=str(value.dtype).removeprefix("torch."), name=name or None)
        for name, value in named
    ]
    for index, spec in enumerate(specs):
        spec.name = spec.name or (f"input_{index}" if len(specs) > 1 else "input")
    return specs


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def as_tensors(x: Any) -> Any:
    """Arrays and lists of numbers as tensors; tensors, symbols and structures of them stay."""
    if isinstance(x, Tensor | SymbolicTensor):
        return x
    if isinstance(x, dict):
        return {key: as_tensors(value) for key, value in x.items()}
    if isinstance(x, list | tuple) and next(leaves(x, lambda v: hasattr(v, "shape")), None) is not None:
        return type(x)(as_tensors(value) for value in x)
    if hasattr(x, "__array__") or isinstance(x, list):
        tensor = torch.as_tensor(x)
        return tensor.float() if tensor.dtype == torch.float64 else tensor
    return x
