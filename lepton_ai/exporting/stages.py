"""The stages of a model as the first part of its graph, in stock onnxruntime operators."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from lepton_ai.bundle import Signature, numpy_dtype
from lepton_ai.models import Front

OPSET = 20  # the first with StringSplit, StringConcat and RegexFullMatch
_OPSETS = {"": OPSET, "ai.onnx.ml": 4, "com.microsoft": 1}
_REFUSED = "refused: "  # runtimes find the reason behind it


def put_in_front(front: Front, core: onnx.ModelProto, signature: Signature) -> onnx.ModelProto:
    """`core`, whose inputs are what `front` makes, with the stages joined in front of it: one graph of raw inputs."""
    builder = Builder({each.name for each in core.graph.input})
    for node, inputs, output in front.calls():
        made = node.layer.onnx(builder, *inputs)
        builder.rename(made, output)
    raw = [
        helper.make_tensor_value_info(
            spec.name,
            TensorProto.STRING if spec.dtype == "BYTES" else helper.np_dtype_to_tensor_dtype(numpy_dtype(spec.dtype)),
            [
                "batch" if axis == 0 else f"{spec.name}_{axis}" if size == -1 else size
                for axis, size in enumerate(spec.shape)
            ],
        )
        for spec in signature.inputs
    ]
    graph = helper.make_graph(
        [*builder.nodes, *core.graph.node],
        core.graph.name,
        raw,
        list(core.graph.output),
        [*builder.constants, *core.graph.initializer],
    )
    opsets = {each.domain: each.version for each in core.opset_import}
    used = {node.domain for node in builder.nodes}
    opsets |= {domain: version for domain, version in _OPSETS.items() if domain in used and domain}
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        functions=list(core.functions),
        ir_version=core.ir_version,
    )
    model.producer_name = core.producer_name
    return model


class Builder:
    """Collects nodes and constants under names of their own; see `layers.GraphBuilder`."""

    def __init__(self, taken: set[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._held: dict[Any, str] = {}
        self._taken = taken

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        return self._add(op, inputs, domain, "", attributes)

    def constant(self, values: Any, dtype: Any = None) -> str:
        array = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.shape, tuple(array.reshape(-1).tolist()))
        if key not in self._held:
            self._held[key] = name = f"stages/constant_{len(self._held)}"
            if array.dtype.kind in "OU":
                texts = [text.encode() for text in array.reshape(-1).tolist()]
                self.constants.append(helper.make_tensor(name, TensorProto.STRING, array.shape, texts))
            else:
                self.constants.append(onnx.numpy_helper.from_array(array, name))
        return self._held[key]

    def join(self, matrix: str) -> str:
        """Neighbours pair by pair until one column is left: as many rounds as the logarithm of the longest row."""
        empty = self.constant([[""]], object)
        rows = self.node("Concat", self.node("Shape", matrix, start=0, end=1), self.constant([1]), axis=0)
        gaps = self.node("Expand", empty, rows)
        zero, one, two, most = (self.constant([each]) for each in (0, 1, 2, 2**62))
        outer, self.nodes = self.nodes, []
        inside = f"stages/join_{len(outer)}"
        even = self.node("Slice", inside, zero, most, one, two)
        odd = self.node("Slice", inside, one, most, one, two)
        padded = self.node("Concat", odd, gaps, axis=1)
        width = self.node("Shape", even, start=1)
        pairs = self.node("StringConcat", even, self.node("Slice", padded, zero, width, one))
        more = self.node("Squeeze", self.node("Greater", width, one))
        body, self.nodes = self.nodes, outer
        texts = [helper.make_tensor_value_info(each, TensorProto.STRING, [None, None]) for each in (inside, pairs)]
        flags = [helper.make_tensor_value_info(each, TensorProto.BOOL, []) for each in (f"{inside}/go", more)]
        step = helper.make_tensor_value_info(f"{inside}/step", TensorProto.INT64, [])
        loop = helper.make_graph(body, inside, [step, flags[0], texts[0]], [flags[1], texts[1]])
        joined = self.node("Loop", "", self.constant(True), matrix, body=loop)
        return self.node("Reshape", joined, self.constant([-1]))

    def refuse(self, bad: str, reason: str, value: str) -> str:
        """No operator fails on purpose; one that reads a number from a text does, and its name goes into the error."""
        text = self.node("Where", bad, self.constant("no number", object), self.constant("0", object))
        zeros = self._add("Cast", (text,), "", _REFUSED + reason, {"to": np.int64})
        # The sum of no rows is 0; added to the value, it cannot be left out.
        nothing = self.node("ReduceSum", zeros, keepdims=0)
        return self.node("Add", value, self.node("CastLike", nothing, value))

    def rename(self, made: str, name: str) -> None:
        """Give a result the name that the core knows it by."""
        self.nodes.append(helper.make_node("Identity", [made], [name], name=f"stages/{name}"))

    def _add(self, op: str, inputs: Sequence[str], domain: str, name: str, attributes: dict[str, Any]) -> str:
        output = f"stages/{op}_{self._next()}"
        known = {key: _attribute(key, value) for key, value in attributes.items()}
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=name or output, domain=domain, **known))
        return output

    _count = 0

    def _next(self) -> int:
        self._count += 1
        return self._count


def _attribute(key: str, value: Any) -> Any:
    if key != "to":
        return value
    return TensorProto.STRING if value is object else helper.np_dtype_to_tensor_dtype(np.dtype(value))
