"""A model as an ONNX graph, through torch's exporter."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export._patches import register_gru_while_loop_decomposition, register_lstm_while_loop_decomposition

from lepton_ai.bundle import Signature
from lepton_ai.core import LeptonError, UsageError
from lepton_ai.exporting.stages import OPSET, put_in_front
from lepton_ai.models import Model, named_inputs, named_outputs, sample_inputs

TRACED_ROWS = 2  # at 1 torch takes the batch for a constant


class _Flat(nn.Module):
    """The model with its inputs as positional arguments and its outputs as a tuple, as graphs have them."""

    def __init__(self, model: Model, structure: Any) -> None:
        super().__init__()
        self.model, self.structure = model, structure

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        names = [spec.name for spec in self.model.input_specs]
        if self.model.front is not None:
            x: Any = dict(zip(self.model.front.ends, inputs, strict=True))
        elif isinstance(self.structure, dict):
            x = dict(zip(names, inputs, strict=True))
        else:
            x = inputs if isinstance(self.structure, tuple | list) else inputs[0]
        return tuple(named_outputs(self.model, self.model(x)).values())


def to_onnx(model: Model, file: Path, signature: Signature) -> None:
    """Write `model` as one ONNX file with the free sizes and the names of `signature`.

    Raises: UsageError if torch cannot trace the model, with its reason, or an output is called like an input.
    """
    for spec in signature.outputs:
        if any(spec.name == each.name for each in signature.inputs):
            raise UsageError(
                f"an input and an output are both called {spec.name!r}",
                at=f"export of {model.label}",
                fix="Give the input another name: Input(shape, name=...).",
            )
    x = sample_inputs(model, TRACED_ROWS)
    front = model.front
    if front is None:
        inputs = tuple(named_inputs(model, x).values())
        names, sizes = ([spec.name for spec in signature.inputs], [spec.shape for spec in signature.inputs])
    else:
        inputs = tuple(front.encode(x).values())
        names, sizes = (
            list(front.ends),
            [tuple(-1 if n is None else n for n in each.shape) for each in front.ends.values()],
        )
    batch = torch.export.Dim("batch")
    shapes = [
        {axis: batch if axis == 0 else torch.export.Dim.DYNAMIC for axis, size in enumerate(shape) if size == -1}
        for shape in sizes
    ]
    try:
        # Without gradients: a slice of a traced size, as in a cell of the user's, has none that torch could find.
        with at_inference(model), _quiet(), _free_time(), torch.no_grad():
            # Traced here and once: torch.onnx would try a second way, whose complaint would hide the first's.
            program = torch.onnx.export(
                torch.export.export(_Flat(model, x).eval(), inputs, dynamic_shapes=(tuple(shapes),), strict=False),
                input_names=names,
                output_names=[spec.name for spec in signature.outputs],
                dynamo=True,
                opset_version=None if front is None else OPSET,
                optimize=True,
                verbose=False,
            )
            assert program is not None
    except LeptonError:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error, torch.onnx.errors.OnnxExporterError) else error
        reason = next((line.strip() for line in str(cause or error).splitlines() if line.strip()), repr(error))
        raise UsageError(
            f"torch could not trace the model: {reason}",
            at=f"export of {model.label}",
            fix="Shapes and branches in call() must not depend on the values of tensors.",
        ) from error
    if front is None:
        program.save(file, external_data=False)
    else:
        onnx.save(put_in_front(front, program.model_proto, signature), file)


@contextlib.contextmanager
def _free_time() -> Iterator[None]:
    """Recurrent kernels leave the time axis free while torch works out shapes; they stay one operator each.

    torch registers the decompositions for tracing only, not for the lowering to ONNX, and forgets to clear the
    operators' caches: then the second recurrent layer, or the second export, has its time axis fixed.
    """
    recurrent = (torch.ops.aten.lstm.input, torch.ops.aten.gru.input)
    with register_lstm_while_loop_decomposition(), register_gru_while_loop_decomposition():
        for operator in recurrent:
            operator._dispatch_cache.clear()
        try:
            yield
        finally:
            for operator in recurrent:
                operator._dispatch_cache.clear()


@contextlib.contextmanager
def at_inference(model: nn.Module) -> Iterator[None]:
    """The model as it answers, on the CPU, where every bundle must run; afterwards each part as it was."""
    training = [module for module in model.modules() if module.training]
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    model.cpu().eval()
    try:
        yield
    finally:
        model.to(device)
        for module in training:
            module.training = True


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's running commentary; what it raises still comes through."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
