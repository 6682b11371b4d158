"""A graph of layer calls: found from its outputs, run in order, described for storage."""

from typing import Any

from torch import Tensor

from lepton_ai.core import ConfigError, DataError, unique_name
from lepton_ai.layers import (
    Input,
    Layer,
    Node,
    SymbolicTensor,
    after_pooling,
    before_pooling,
    carry,
    deserialize,
    is_symbolic,
    leaves,
    map_leaves,
    pools_first,
    serialize,
)


class Graph:
    """The calls between `inputs` and `outputs`, each a tensor, a list or a dict of symbolic tensors.

    Raises: ConfigError if an output does not depend on the inputs alone.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.sources: list[SymbolicTensor] = list(leaves(inputs, is_symbolic))
        if not self.sources or not list(leaves(outputs, is_symbolic)):
            raise ConfigError("a Model needs symbolic inputs and outputs", fix="Start with x = Input(shape).")
        for source in self.sources:
            if source.node.layer is not None:
                raise ConfigError(f"{source!r} is not an Input", fix="Inputs of a Model come from Input(shape).")
        self._name_inputs()
        self.nodes = _in_order([tensor.node for tensor in leaves(outputs, is_symbolic)])
        known = {id(source.node) for source in self.sources}
        for node in self.nodes:
            if node.layer is None and id(node) not in known:
                raise ConfigError("an output depends on an Input that is not in inputs", fix="Add it to inputs.")
        self.nodes = [node for node in self.nodes if node.layer is not None]
        self._pooled_first = self._find_pooled_first()

    @property
    def layers(self) -> list[Layer]:
        """Every layer once, in the order of their first call."""
        return list({id(node.layer): node.layer for node in self.nodes if node.layer is not None}.values())

    def build(self) -> None:
        """Make the weights of all layers."""
        for node in self.nodes:
            assert node.layer is not None
            shapes = [map_leaves(lambda tensor: tensor.shape, arg, is_symbolic) for arg in node.args]
            node.layer.ensure_built(shapes[0] if len(shapes) == 1 else tuple(shapes))

    def run(self, x: Any, mask: Any = None) -> tuple[Any, Any]:
        """The outputs for inputs in the structure of `inputs` (or a dict by their names), and their masks.

        `mask` holds those of the inputs in the same structure, with None for one that has none.
        """
        names = [source.name for source in self.sources]
        given = pick_inputs(x, names)
        values: dict[int, Any] = {id(s.node): v for s, v in zip(self.sources, given, strict=True)}
        masks: dict[int, Any] = {}  # of the nodes that have one
        if mask is not None:
            found = zip(self.sources, pick_inputs(mask, names), strict=True)
            masks = {id(source.node): each for source, each in found if each is not None}

        waiting: dict[int, Layer] = {}  # poolings, and the layers whose activations come behind them

        def value(tensor: SymbolicTensor) -> Any:
            result = values[id(tensor.node)]
            return result if tensor.index is None else result[tensor.index]

        for node in self.nodes:
            assert node.layer is not None
            args = map_leaves(value, node.args, is_symbolic)
            kwargs = map_leaves(value, node.kwargs, is_symbolic)
            if id(node) in waiting:
                values[id(node)] = after_pooling(waiting[id(node)], node.layer(*args))
                continue
            if not masks and not node.layer.makes_mask:
                pooling = self._pooled_first.get(id(node))
                if pooling is None:
                    values[id(node)] = node.layer(*args, **kwargs)
                else:
                    values[id(node)], waiting[pooling] = before_pooling(node.layer, *args), node.layer
                continue
            held = tuple(_masks_in(arg, masks) for arg in node.args)
            values[id(node)], made = carry(node.layer, args, kwargs, held)
            if made is not None:
                masks[id(node)] = made
        return map_leaves(value, self.outputs, is_symbolic), _masks_in(self.outputs, masks)

    def _find_pooled_first(self) -> dict[int, int]:
        """The nodes whose activation may wait for the pooling, and nobody else, that reads them; and that pooling."""
        readers: dict[int, list[Node]] = {}
        for node in self.nodes:
            for source in node.sources:
                readers.setdefault(id(source.node), []).append(node)
        shown = {id(tensor.node) for tensor in leaves(self.outputs, is_symbolic)}
        found = {}
        for node in self.nodes:
            reader = readers.get(id(node), [])
            if len(reader) != 1 or id(node) in shown or len(node.args) != 1 or node.kwargs or reader[0].kwargs:
                continue
            assert node.layer is not None
            if pools_first(node.layer, reader[0].layer):
                found[id(node)] = id(reader[0])
        return found

    def _name_inputs(self) -> None:
        taken: set[str] = set()
        if isinstance(self.inputs, dict):
            for name, source in self.inputs.items():
                source.name = name
        for source in self.sources:
            source.name = unique_name(source.name or "input", taken)

    # -- storage ----------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The graph as JSON can hold it."""
        places = {id(source.node): index for index, source in enumerate(self.sources)}
        places |= {id(node): len(self.sources) + index for index, node in enumerate(self.nodes)}

        def place(tensor: SymbolicTensor) -> dict[str, Any]:
            return {"tensor": [places[id(tensor.node)], tensor.index]}

        names = {id(layer): layer.name for layer in self.layers}
        return {
            "inputs": [{"name": s.name, "shape": list(s.shape[1:]), "dtype": s.dtype} for s in self.sources],
            "input_structure": map_leaves(lambda s: s.name, self.inputs, is_symbolic),
            "layers": [serialize(layer) for layer in self.layers],
            "calls": [
                {
                    "layer": names[id(node.layer)],
                    "args": serialize(map_leaves(place, list(node.args), is_symbolic)),
                    "kwargs": serialize(map_leaves(place, node.kwargs, is_symbolic)),
                }
                for node in self.nodes
            ],
            "outputs": map_leaves(place, self.outputs, is_symbolic),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Graph":
        """The graph that `get_config` described."""
        inputs = [Input(tuple(each["shape"]), dtype=each["dtype"], name=each["name"]) for each in config["inputs"]]
        layers = {each["config"]["name"]: deserialize(each) for each in config["layers"]}
        results: list[Any] = list(inputs)

        def is_place(value: Any) -> bool:
            return isinstance(value, dict) and value.keys() == {"tensor"}

        def at(value: dict[str, Any]) -> Any:
            index, part = value["tensor"]
            return results[index] if part is None else results[index][part]

        for call in config["calls"]:
            args = map_leaves(at, call["args"], is_place)
            kwargs = map_leaves(at, call["kwargs"], is_place)
            results.append(layers[call["layer"]](*args, **kwargs))
        by_name = {source.name: source for source in inputs}
        structure = map_leaves(lambda name: by_name[name], config["input_structure"], lambda v: isinstance(v, str))
        return cls(structure, map_leaves(at, config["outputs"], is_place))


def pick_inputs(x: Any, names: list[str]) -> list[Tensor]:
    """The inputs called `names`, in that order, from one tensor, a list of them, or a dict by name.

    Raises: DataError if one is missing or there are too many.
    """
    if isinstance(x, dict):
        if set(names) - x.keys():
            raise DataError(f"inputs {sorted(set(names) - x.keys())} are missing; got {sorted(x)}")
        return [x[name] for name in names]
    values = list(x) if isinstance(x, list | tuple) else [x]
    if len(values) != len(names):
        raise DataError(f"got {len(values)} inputs, expected {len(names)}: {names}")
    return values


def _masks_in(structure: Any, masks: dict[int, Any]) -> Any:
    """The masks of symbolic tensors in their structure; None where there is none."""
    if isinstance(structure, dict):
        return {key: _masks_in(each, masks) for key, each in structure.items()}
    if isinstance(structure, list | tuple):
        return [_masks_in(each, masks) for each in structure]
    mask = masks.get(id(structure.node)) if is_symbolic(structure) else None
    return mask if mask is None or structure.index is None or isinstance(mask, Tensor) else mask[structure.index]


def _in_order(ends: list[Node]) -> list[Node]:
    """Every node that `ends` depend on, each after what it reads. Without recursion: graphs may be deep."""
    order: list[Node] = []
    state: dict[int, bool] = {}
    stack = [(node, False) for node in reversed(ends)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in state:
            state[id(node)] = True
            stack.append((node, True))
            stack.extend((source.node, False) for source in reversed(node.sources))
    return order
