"""What goes into a model and what comes out, found by looking at its specs and running it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.bundle import Signature, TensorSpec, dtype_of
from lepton_ai.core import UsageError
from lepton_ai.layers import PositionEmbedding
from lepton_ai.models.network import Network
from lepton_ai.rng import derive

# Sizes that stand in for free ones in a trial; two trials tell free sizes of the output from fixed ones.
FREE = 32
_TRIALS = ((2, FREE), (3, FREE + 8))


def sample_inputs(model: Network, batch: int, free: int = FREE) -> Any:
    """Inputs that the model takes, `batch` rows of them: the rows that `fit` kept, else plausible numbers.

    Generated ones have the size `free` along free axes. Kept ones have their own, and as much more as `free` is
    above 32: their last step is repeated, which leaves masks padded on the right. A table of positions that ends
    before makes them shorter instead.
    """
    tables = (module.sequence_length for module in model.modules() if isinstance(module, PositionEmbedding))
    longest = min(tables, default=None)
    if model.samples is not None:
        more = free - FREE
        if isinstance(model.samples, dict):
            return {
                spec.name: _rows(model.samples[spec.name], batch, spec, more, longest) for spec in model.input_specs
            }
        if isinstance(model.samples, tuple | list):
            pairs = zip(model.samples, model.input_specs, strict=True)
            return tuple(_rows(value, batch, spec, more, longest) for value, spec in pairs)
        return _rows(model.samples, batch, model.input_specs[0], more, longest)
    if not model.input_specs:
        raise UsageError(f"{model.label} does not know its input yet", fix="Call it on an example, or fit it, first.")
    generator = torch.Generator().manual_seed(derive(0, "samples"))
    size = _size(FREE, free - FREE, longest)
    values = [
        _texts(model, spec, batch, size) if spec.dtype == "string" else _generate(spec, batch, size, generator)
        for spec in model.input_specs
    ]
    if model.front is not None or (model.graph is not None and isinstance(model.graph.inputs, dict)) or model.by_name:
        return {spec.name: value for spec, value in zip(model.input_specs, values, strict=True)}
    return values[0] if len(values) == 1 else tuple(values)


def named_outputs(model: Network, outputs: Any) -> dict[str, Tensor]:
    """A model's outputs by name."""
    if isinstance(outputs, dict):
        return outputs
    tensors = list(outputs) if isinstance(outputs, tuple | list) else [outputs]
    if not all(isinstance(each, Tensor) for each in tensors):
        fix = "Wrap it in a module whose forward returns a tensor, a flat tuple or a dict of tensors."
        raise UsageError("its outputs are nested, which a bundle cannot name", at=model.label, fix=fix)
    names = model.output_names() or [f"output_{i}" if len(tensors) > 1 else "output" for i in range(len(tensors))]
    return dict(zip(names, tensors, strict=True))


def named_inputs(model: Network, x: Any) -> dict[str, Any]:
    """Inputs in the structure that the model takes, by name: tensors, or arrays of texts."""
    if isinstance(x, dict):
        return {spec.name: x[spec.name] for spec in model.input_specs}
    values = list(x) if isinstance(x, tuple | list) else [x]
    return {spec.name: value for spec, value in zip(model.input_specs, values, strict=True)}


@torch.no_grad()
def signature(model: Network) -> Signature:
    """The model's signature; sizes that follow the input are free (-1)."""
    trials = []
    for batch, free in _TRIALS:
        x = sample_inputs(model, batch, free)
        trials.append((named_inputs(model, x), named_outputs(model, model(model.on_own_device(x), training=False))))
    (inputs, outputs), (_, others) = trials
    return Signature(
        inputs=tuple(
            TensorSpec(
                name=spec.name,
                dtype=dtype_of(as_array(inputs[spec.name])),
                shape=tuple(-1 if size is None else size for size in spec.shape),
            )
            for spec in model.input_specs
        ),
        outputs=tuple(
            TensorSpec(
                name=name,
                dtype=dtype_of(value.cpu().numpy()),
                shape=tuple(a if a == b else -1 for a, b in zip(value.shape, others[name].shape, strict=True)),
            )
            for name, value in outputs.items()
        ),
    )


def as_array(value: Any) -> npt.NDArray[Any]:
    """A tensor, or an array of texts, as an array."""
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _texts(model: Network, spec: Any, batch: int, free: int) -> npt.NDArray[np.object_]:
    assert model.front is not None
    found = np.array(model.front.examples(spec.name), dtype=object)
    shape = [free if size is None else size for size in (batch, *spec.shape[1:])]
    return np.resize(found, shape)


def _rows(value: Any, batch: int, spec: Any, more: int, longest: int | None) -> Any:
    if isinstance(value, np.ndarray):  # texts
        value = value[np.arange(batch) % len(value)]
        for axis, size in enumerate(spec.shape):
            if axis and size is None and more:
                value = value.take(np.arange(value.shape[axis] + more).clip(max=value.shape[axis] - 1), axis)
        return value
    value = value[torch.arange(batch) % value.shape[0]]
    for axis, size in enumerate(spec.shape):
        if axis and size is None and more:
            held = value.shape[axis]
            steps = torch.arange(_size(held, more, longest)).clamp(max=held - 1)
            value = value.index_select(axis, steps)
    return value


def _size(usual: int, more: int, longest: int | None) -> int:
    """A size of `usual` and `more`; where `longest` is less, that and as much below."""
    if longest is None or usual + more <= longest:
        return usual + more
    most = min(usual, longest)
    return max(1, most - more, most // 2) if more else most


def _generate(spec: Any, batch: int, free: int, generator: torch.Generator) -> Tensor:
    shape = [free if size is None else size for size in (batch, *spec.shape[1:])]
    dtype = getattr(torch, spec.dtype)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=generator).to(dtype)
    high = {torch.bool: 2, torch.uint8: 256}.get(dtype, 2)
    return torch.randint(0, high, shape, generator=generator).to(dtype)
