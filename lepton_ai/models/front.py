"""The front of a model: stages, which compute on strings and categories in numpy, before what torch computes."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, unique_name
from lepton_ai.layers import Input, Node, Stage, SymbolicTensor, Value, is_symbolic, map_leaves
from lepton_ai.models.graph import Graph
from lepton_ai.models.inputs import conform


class Front:
    """What lies between the `inputs` of a model and the `ends`: what torch takes, by name.

    An input that torch takes as it is keeps its name; what a stage makes is called after it, as in `"lookup()"`. So a
    dictionary of encoded inputs is told from one of raw inputs by its names.
    """

    def __init__(self, inputs: Sequence[SymbolicTensor], ends: Sequence[SymbolicTensor]) -> None:
        self.inputs = list(inputs)
        self.nodes: list[Node] = []
        for end in ends:
            self._collect(end.node)
        taken = {each.name for each in self.inputs}
        self.ends: dict[str, SymbolicTensor] = {}
        for end in ends:
            layer = end.node.layer
            self.ends[end.name if layer is None else unique_name(f"{layer.name}()", taken)] = end

    @property
    def missing(self) -> set[str]:
        """The inputs in which None and NaN may stand, because every stage that reads them says what they mean."""
        allowed = {each.name for each in self.inputs if each.dtype == "string"}
        for node in self.nodes:
            if not node.layer.accepts_missing:
                allowed -= {source.name for source in node.sources if source.node.layer is None}
        return allowed

    def is_encoded(self, x: Any) -> bool:
        """Whether `x` is what `encode` made."""
        return isinstance(x, dict) and x.keys() == self.ends.keys()

    def conform(self, x: Any) -> dict[str, Any]:
        """Raw inputs by name, checked; see `inputs.conform`."""
        return conform(x, self.inputs, self.missing)

    def encode(self, x: Any) -> dict[str, Any]:
        """Raw inputs of some rows as the tensors that torch takes; what is encoded stays.

        Raises: as `inputs.conform`; DataError for rows that a stage refuses.
        """
        if self.is_encoded(x):
            return dict(x)
        raw = self.conform(x)
        values: dict[int, Any] = {id(each.node): raw[each.name] for each in self.inputs}
        for node in self.nodes:
            arrays = (values[id(source.node)] for source in node.sources)
            values[id(node)] = node.layer.compute(*(_as_array(array) for array in arrays))
        return {name: _as_tensor(values[id(end.node)]) for name, end in self.ends.items()}

    def calls(self) -> Iterator[tuple[Node, list[Value], str]]:
        """Each call of a stage, what it reads, and the name of what it makes; for the exporter."""
        names = {id(each.node): each.name for each in self.inputs}
        names |= {id(end.node): name for name, end in self.ends.items()}
        for index, node in enumerate(self.nodes):
            inputs = [Value(names[id(each.node)], each.dtype, each.shape) for each in node.sources]
            names.setdefault(id(node), f"stages/between_{index}")
            yield node, inputs, names[id(node)]

    def examples(self, name: str) -> list[str]:
        """Texts for the input called `name`, from the stages that read it; none that one of them refuses."""
        readers = [
            node.layer
            for node in self.nodes
            if any(source.name == name and source.node.layer is None for source in node.sources)
        ]
        found = dict.fromkeys(text for stage in readers for text in stage.examples())
        alone = [stage for stage in readers if not stage.several]
        return [text for text in found if all(_takes(stage, text) for stage in alone)] or ["", "a"]

    def _collect(self, node: Node) -> None:
        if node.layer is None or any(node is each for each in self.nodes):
            return
        for source in node.sources:
            self._collect(source.node)
        self.nodes.append(node)


def split(graph: Graph) -> tuple[Front, Graph] | None:
    """The stages of a graph, and the rest as a graph of its own over the same layers; None if it has none.

    Raises: ConfigError for strings that go into a layer of torch's.
    """
    stages = {id(node) for node in graph.nodes if isinstance(node.layer, Stage)}
    if not stages and all(source.dtype != "string" for source in graph.sources):
        return None
    ends: dict[int, SymbolicTensor] = {}

    def end(tensor: SymbolicTensor, reader: str) -> None:
        if tensor.node.layer is None or id(tensor.node) in stages:
            if tensor.dtype == "string":
                raise no_texts(reader, tensor)
            ends.setdefault(id(tensor.node), tensor)

    for node in graph.nodes:
        if id(node) not in stages:
            assert node.layer is not None
            for source in node.sources:
                end(source, node.layer.label)
    map_leaves(lambda tensor: end(tensor, "the model's output"), graph.outputs, is_symbolic)
    front = Front(graph.sources, list(ends.values()))
    inputs = {name: Input(tensor.shape[1:], dtype=tensor.dtype, name=name) for name, tensor in front.ends.items()}
    nodes = {id(tensor.node): inputs[name].node for name, tensor in front.ends.items()}

    def swap(tensor: SymbolicTensor) -> SymbolicTensor:
        return SymbolicTensor(tensor.shape, tensor.dtype, nodes[id(tensor.node)], tensor.index, tensor.name)

    for node in graph.nodes:
        if id(node) not in stages:
            args, kwargs = (map_leaves(swap, each, is_symbolic) for each in (node.args, node.kwargs))
            nodes[id(node)] = Node(node.layer, args, kwargs)
    return front, Graph(inputs, map_leaves(swap, graph.outputs, is_symbolic))


def no_texts(reader: str, tensor: SymbolicTensor) -> ConfigError:
    """The error for strings that reach torch."""
    return ConfigError(
        f"strings ({tensor.name or 'a stage'}) go into {reader}, which takes numbers",
        fix="Put a stage between: StringLookup(), TextVectorization(), Hashing(num_bins=...).",
    )


def _takes(stage: Stage, text: str) -> bool:
    try:
        stage([text])
    except DataError:
        return False
    return True


def _as_array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.from_numpy(value)
