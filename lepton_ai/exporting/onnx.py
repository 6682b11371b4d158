"""A model as an ONNX graph, through torch's exporter."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.bundle import Signature
from lepton_ai.core import UsageError
from lepton_ai.models import Model, named_inputs, named_outputs, sample_inputs

TRACED_ROWS = 2  # at 1 torch takes the batch for a constant


class _Flat(nn.Module):
    """The model with its inputs as positional arguments and its outputs as a tuple, as graphs have them."""

    def __init__(self, model: Model, structure: Any) -> None:
        super().__init__()
        self.model, self.structure = model, structure

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        names = [spec.name for spec in self.model.input_specs]
        if isinstance(self.structure, dict):
            x: Any = dict(zip(names, inputs, strict=True))
        else:
            x = inputs if isinstance(self.structure, tuple | list) else inputs[0]
        return tuple(named_outputs(self.model, self.model(x)).values())


def to_onnx(model: Model, file: Path, signature: Signature) -> None:
    """Write `model` as one ONNX file with the free sizes and the names of `signature`.

    Raises: UsageError if torch cannot trace the model, with its reason.
    """
    x = sample_inputs(model, TRACED_ROWS)
    inputs = tuple(named_inputs(model, x).values())
    batch = torch.export.Dim("batch")
    shapes = [
        {axis: batch if axis == 0 else torch.export.Dim.DYNAMIC for axis, size in enumerate(spec.shape) if size == -1}
        for spec in signature.inputs
    ]
    training = model.training
    model.eval()
    try:
        with _quiet():
            program = torch.onnx.export(
                _Flat(model, x).eval(),
                inputs,
                input_names=[spec.name for spec in signature.inputs],
                output_names=[spec.name for spec in signature.outputs],
                dynamic_shapes=(tuple(shapes),),
                dynamo=True,
                optimize=True,
                verbose=False,
            )
            assert program is not None
            program.save(file, external_data=False)
    except torch.onnx.errors.OnnxExporterError as error:
        cause = error.__cause__ or error
        raise UsageError(
            f"torch could not trace the model: {str(cause).strip().splitlines()[0]}",
            at=f"export of {model.label}",
            fix="Shapes and branches in call() must not depend on the values of tensors.",
        ) from error
    finally:
        model.train(training)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's running commentary; what it raises still comes through."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
