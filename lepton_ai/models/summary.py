"""The table that `summary()` prints."""

import io
import math
from dataclasses import dataclass
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lepton_ai.layers import Layer, Stage, is_shape, is_symbolic, leaves, map_leaves
from lepton_ai.models.network import Network
from lepton_ai.models.signature import sample_inputs


@dataclass(frozen=True)
class Row:
    """One layer: bytes are of one example's output."""

    name: str
    kind: str
    shape: str
    parameters: int
    trainable: int
    multiply_adds: int
    output_bytes: int


def summarize(model: Network, width: int = 100) -> str:
    """A table of layers with shapes, parameters, multiply-adds and memory for one example.

    Multiply-adds are those of matrix products and convolutions, counted by running the model once.
    """
    rows = layer_rows(model)
    table = Table(
        title=f"{type(model).__name__} {model.name!r}", box=box.SIMPLE_HEAD, title_justify="left", expand=False
    )
    for heading in ("layer", "kind", "output shape", "parameters", "multiply-adds", "output"):
        justify: Any = "left" if heading in ("layer", "kind", "output shape") else "right"
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        frozen = "" if row.trainable == row.parameters else " frozen"
        table.add_row(
            row.name,
            row.kind,
            row.shape,
            f"{row.parameters:,}{frozen}",
            f"{row.multiply_adds:,}" if row.multiply_adds else "",
            size(row.output_bytes),
        )
    total, trainable = count_parameters(model)
    stored = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    activations = sum(row.output_bytes for row in rows)
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    console.print(table)
    console.print(
        f"parameters {total:,} ({trainable:,} trainable)   weights {size(stored)}   "
        f"multiply-adds {sum(row.multiply_adds for row in rows):,}   activations {size(activations)} per example",
        soft_wrap=True,
        highlight=False,
    )
    return stream.getvalue().rstrip()


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """All parameters, and those that training changes."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def layer_rows(model: Network) -> list[Row]:
    """One row for each layer directly inside, in order of their first call; a foreign module's own children."""
    parts = model.parts() or {model.name: model}
    outputs: dict[str, Any] = {}
    operations: dict[str, int] = {}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            outputs[name] = output
            operations[name] = operations.get(name, 0) + counter.get_total_flops() // 2 - started.pop(name)

        return hook

    def begin(name: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            started[name] = counter.get_total_flops() // 2

        return hook

    started: dict[str, int] = {}
    handles = [part.register_forward_pre_hook(begin(name)) for name, part in parts.items()]
    handles += [part.register_forward_hook(watch(name)) for name, part in parts.items()]
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_rnn_layer: _rnn_operations})
    try:
        with torch.no_grad(), counter:
            model(model.on_own_device(sample_inputs(model, 1)), training=False)
    finally:
        for handle in handles:
            handle.remove()
    stages = _stages(model)
    return [
        stages[part]
        if isinstance(part, Stage)
        else Row(
            name,
            type(part).__name__,
            _shape(part, outputs[name]),
            *count_parameters(part),
            operations[name],
            sum(value.numel() * value.element_size() for value in _tensors(outputs[name])),
        )
        for name, part in parts.items()
        if name in outputs or part in stages
    ]


def _stages(model: Network) -> dict[Any, Row]:
    """The rows of layers that compute in numpy; nothing is known of what texts and free sizes take."""
    rows: dict[Any, Row] = {}
    for node in model.front.nodes if model.front is not None else ():
        shapes = [map_leaves(lambda tensor: tensor.shape, arg, is_symbolic) for arg in node.args]
        shape = node.layer.compute_output_shape(shapes[0] if len(shapes) == 1 else tuple(shapes))
        values = 0 if None in shape[1:] else math.prod(shape[1:])
        width = {"int64": 8, "float32": 4}.get(node.layer.output_dtype, 0)
        rows[node.layer] = Row(
            node.layer.name, type(node.layer).__name__, str((None, *shape[1:])), 0, 0, 0, values * width
        )
    return rows


def size(count: int) -> str:
    """Bytes for people.

    Example:
        >>> size(512), size(2_000_000)
        ('512 B', '1.9 MiB')
    """
    if count < 1024:
        return f"{count} B"
    for unit in ("KiB", "MiB", "GiB"):
        value = count / 1024 ** (("KiB", "MiB", "GiB").index(unit) + 1)
        if value < 1024 or unit == "GiB":
            break
    return f"{value:.1f} {unit}"


def _rnn_operations(x: Any, weight: Any, recurrent: Any, *_: Any, **__: Any) -> int:
    """Of the CPU's fused recurrent kernel, from the shapes of its arguments: two per multiply-add."""
    return int(2 * x[0] * x[1] * (math.prod(weight) + math.prod(recurrent)))


def _shape(part: nn.Module, output: Any) -> str:
    if isinstance(part, Layer) and part.built and is_shape(part.input_shape):
        shapes = list(leaves(part.compute_output_shape(part.input_shape), is_shape))
    else:
        shapes = [(None, *value.shape[1:]) for value in _tensors(output)]
    free = [(None, *shape[1:]) for shape in shapes]
    return ", ".join(str(tuple(shape)) for shape in free)


def _tensors(output: Any) -> list[Tensor]:
    return list(leaves(output, lambda value: isinstance(value, Tensor)))
