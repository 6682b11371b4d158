"""Where NaN is an answer: the inputs that go into a layer which accepts missing values."""

from torch import nn

from lepton_ai.data import Missing
from lepton_ai.layers import Layer, SymbolicTensor
from lepton_ai.models.graph import Graph
from lepton_ai.models.network import Network


def missing_inputs(model: Network) -> Missing:
    """The paths of the inputs that may hold NaN where a graph tells; else whether any layer accepts it."""
    if not accepts(model):
        return False
    if model.graph is None:
        return True
    sources = model.graph.sources
    paths: set[str] = set()
    for index, source in enumerate(sources):
        if _reaches(model.graph, source):
            paths |= {f"x[{index}]", f"x[{source.name!r}]"} | ({"x"} if len(sources) == 1 else set())
    return frozenset(paths)


def accepts(module: nn.Module) -> bool:
    """Whether a layer inside (or this one) takes NaN for an answer."""
    return any(isinstance(layer, Layer) and layer.accepts_missing for layer in module.modules())


def _reaches(graph: Graph, source: SymbolicTensor) -> bool:
    """Whether `source` goes into an accepting layer, directly or through layers without weights, as a reshape is."""
    carrying = {id(source.node)}
    for node in graph.nodes:  # each after what it reads
        if node.layer is None or not any(id(each.node) in carrying for each in node.sources):
            continue
        if accepts(node.layer):
            return True
        if next(node.layer.parameters(), None) is None:
            carrying.add(id(node))
    return False
