"""Small ONNX graphs for tests, made with onnx.helper."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lepton_ai.bundle import Array, Signature, TensorSpec

_TYPES = {
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "FP16": TensorProto.FLOAT16,
    "INT64": TensorProto.INT64,
    "INT32": TensorProto.INT32,
    "UINT8": TensorProto.UINT8,
    "BOOL": TensorProto.BOOL,
    "BYTES": TensorProto.STRING,
    "BF16": TensorProto.BFLOAT16,
}


def graph(nodes: Sequence[Any], sign: Signature, **constants: Array) -> bytes:
    """A serialised model of `nodes` between the signature's tensors."""

    def value(spec: TensorSpec) -> Any:
        shape = [f"free{index}" if size == -1 else size for index, size in enumerate(spec.shape)]
        return helper.make_tensor_value_info(spec.name, _TYPES[spec.dtype], shape)

    model = helper.make_model(
        helper.make_graph(
            nodes,
            "graph",
            [value(spec) for spec in sign.inputs],
            [value(spec) for spec in sign.outputs],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def _sign(inputs: dict[str, tuple[str, tuple[int, ...]]], outputs: dict[str, tuple[str, tuple[int, ...]]]) -> Signature:
    def specs(tensors: dict[str, tuple[str, tuple[int, ...]]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name=name, dtype=dtype, shape=shape) for name, (dtype, shape) in tensors.items())

    return Signature(inputs=specs(inputs), outputs=specs(outputs))


ROWS = _sign({"x": ("FP32", (-1, 3))}, {"total": ("FP32", (-1, 1)), "double": ("FP32", (-1, 3))})


def rows_graph() -> bytes:
    """`total` = the sum of each row of `x`, `double` = `x + x`."""
    return graph(
        [node("ReduceSum", "x axes", "total", keepdims=1), node("Add", "x x", "double")], ROWS, axes=np.array([1])
    )


TEXT = _sign({"text": ("BYTES", (-1, 1))}, {"echo": ("BYTES", (-1, 1))})


def text_graph() -> bytes:
    """Strings in, the same strings out."""
    return graph([node("Identity", "text", "echo")], TEXT)


LOOKUP = _sign({"index": ("INT64", (-1,))}, {"value": ("FP32", (-1, 2))})


def lookup_graph() -> bytes:
    """Rows of a table of three; an index beyond it makes the graph fail while it runs."""
    return graph([node("Gather", "table index", "value")], LOOKUP, table=np.arange(6, dtype="float32").reshape(3, 2))


SUM_DIFFERENCE = _sign(
    {"a": ("INT32", (-1, 4)), "b": ("INT32", (-1, 4))}, {"sum": ("INT32", (-1, 4)), "difference": ("INT32", (-1, 4))}
)


def sum_difference_graph() -> bytes:
    """Two inputs, two outputs."""
    return graph([node("Add", "a b", "sum"), node("Sub", "a b", "difference")], SUM_DIFFERENCE)


HALF = _sign({"x": ("FP16", (-1, 2))}, {"y": ("FP16", (-1, 2))})


def half_graph() -> bytes:
    """FP16 in and out."""
    return graph([node("Add", "x x", "y")], HALF)


BRAIN = _sign({"x": ("BF16", (-1, 2))}, {"y": ("BF16", (-1, 2))})


def brain_graph() -> bytes:
    """BF16 in and out, doubled by way of FP32, since the CPU does not add it."""
    nodes = [
        node("Cast", "x", "wide", to=int(TensorProto.FLOAT)),
        node("Add", "wide wide", "sum"),
        node("Cast", "sum", "y", to=int(TensorProto.BFLOAT16)),
    ]
    return graph(nodes, BRAIN)


LOGARITHM = _sign({"x": ("FP32", (-1, 2))}, {"y": ("FP32", (-1, 2))})


def logarithm_graph() -> bytes:
    """The logarithm: NaN below zero."""
    return graph([node("Log", "x", "y")], LOGARITHM)


FIXED = _sign({"x": ("FP32", (1, 2))}, {"y": ("FP32", (1, 2))})


def fixed_graph() -> bytes:
    """A batch of exactly one."""
    return graph([node("Neg", "x", "y")], FIXED)


def mlp_graph(sizes: Sequence[int] = (30, 256, 256, 256, 2)) -> tuple[bytes, Signature]:
    """A dense network with relu between layers and softmax at the end, of seeded weights."""
    rng = np.random.default_rng(0)
    sign = _sign({"x": ("FP32", (-1, sizes[0]))}, {"y": ("FP32", (-1, sizes[-1]))})
    nodes, constants, name = [], {}, "x"
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        constants[f"w{index}"] = rng.normal(0, fan_in**-0.5, (fan_in, fan_out)).astype("float32")
        constants[f"b{index}"] = np.zeros(fan_out, "float32")
        nodes.append(node("Gemm", f"{name} w{index} b{index}", f"h{index}"))
        name = f"h{index}"
        if index < len(sizes) - 2:
            nodes.append(node("Relu", name, f"r{index}"))
            name = f"r{index}"
    nodes.append(node("Softmax", name, "y"))
    return graph(nodes, sign, **constants), sign
