"""Low-rank adapters for a whole model: put in, folded in, kept in a small file of their own.

Hu et al., 2021 (arXiv:2106.09685).
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, StorageError, UsageError, unknown_name, write_atomic
from lepton_ai.layers import KernelLayer, Layer, LowRank, add_adapter, remove_adapter, takes_adapter
from lepton_ai.models.architecture import Adapter
from lepton_ai.models.network import Network

_KEY = "lepton_ai.adapters"


class _File(msgspec.Struct, kw_only=True, frozen=True):
    """What stands in the file beside the tensors; `base` is the hash of the kernels that the adapters belong to."""

    format: int = 1
    adapters: dict[str, Adapter]
    base: str


def add_adapters(
    model: Network, rank: int = 8, alpha: float = 16.0, layers: str | Sequence[str] | None = None
) -> list[str]:
    """Freeze a model, and give layers adapters that train in place of their kernels; outputs are as before at first.

    A kernel W then counts as `W + alpha / rank * up @ down`, with `up` `(out, rank)`, zero at first, and `down`
    `(rank, in)`. Layers that can have one: Dense, EinsumDense, the projections of attention, convolutions without
    groups. What else shall train, as a new head, is thawed afterwards: `model.get_layer("head").trainable = True`.

    Args:
        layers: those that get one, by path or by any part of it: "query" is that of every attention. All that can
            if not given.

    Returns: the paths of the layers that got one.

    Raises: UsageError for a model without weights, or with adapters; UnknownNameError, ConfigError for `layers`.

    Example:
        >>> from lepton_ai.layers import Dense
        >>> from lepton_ai.models import Sequential
        >>> model = Sequential([Dense(64, name="body", input_shape=(64,)), Dense(2, name="head")])
        >>> add_adapters(model, rank=4, layers="body")
        ['body']
        >>> sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        512
    """
    if not model.built and model.input_specs:
        model.ensure_built(model.input_specs[0].shape)
    if not model.built:
        raise UsageError(f"{model.label} has no weights yet", at="add_adapters", fix="Call it on an example first.")
    if adapters_of(model):
        fix = "Fold them in first: merge_adapters(model)."
        raise UsageError(f"{model.label} has adapters already", at="add_adapters", fix=fix)
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ConfigError(at="add_adapters.rank", got=rank, expected="a positive int")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < float("inf"):
        raise ConfigError(at="add_adapters.alpha", got=alpha, expected="a positive number")
    chosen = _chosen(model, layers)
    model.trainable = False
    attach_adapters(model, dict.fromkeys(chosen, Adapter(rank=rank, alpha=float(alpha))))
    return chosen


def merge_adapters(model: Network) -> None:
    """Fold every adapter into its kernel: the model is again what it was, and gives what it gives with them.

    Weights stay frozen; `model.trainable = True` lets all train.

    Raises: UsageError if there is none.
    """
    found = _adapted(model)
    if not found:
        raise UsageError(f"{model.label} has no adapters", at="merge_adapters", fix="add_adapters(model) puts them in.")
    for layer in found.values():
        remove_adapter(layer, merge=True)


def save_adapters(model: Network, path: str | Path) -> None:
    """Write what trains in a model with adapters, they and thawed layers, to a file of safetensors.

    Raises: UsageError if there is no adapter; StorageError if the file cannot be written.
    """
    described = adapters_of(model)
    if not described:
        raise UsageError(f"{model.label} has no adapters", at="save_adapters", fix="Save it whole: model.save(path).")
    about = _File(adapters=described, base=_base(model, list(described)))
    tensors = {name: value.detach().cpu().contiguous() for name, value in _trained(model).items()}
    stored = safetensors.torch.save(tensors, {_KEY: msgspec.json.encode(about).decode()})
    write_atomic(Path(path), stored)


def load_adapters(model: Network, path: str | Path) -> None:
    """Put the adapters of a file, and the layers that were thawed with them, into the model that they were made for;
    or take their values, where it has these adapters.

    Raises: StorageError if the file is damaged, or of another model; the model is as before then. UsageError if the
        model has other adapters. Warns if its kernels are not those that the adapters were trained beside.
    """
    about, tensors = _read(Path(path))
    before = adapters_of(model)
    if before not in ({}, about.adapters):
        fix = "Fold them in first: merge_adapters(model)."
        raise UsageError(f"{model.label} has other adapters", at="load_adapters", fix=fix)
    flags = [(layer, layer._trainable) for layer in model.modules() if isinstance(layer, Layer)]
    thawed = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        if not before:
            model.trainable = False
            attach_adapters(model, about.adapters)
        held = model.state_dict(keep_vars=True)
        wrong = [name for name, value in tensors.items() if name not in held or held[name].shape != value.shape]
        if wrong:
            raise ConfigError(f"the model has no {wrong[0]} of shape {tuple(tensors[wrong[0]].shape)}")
    except ConfigError as error:
        if not before:
            for layer in _adapted(model).values():
                remove_adapter(layer, merge=False)
            for owner, flag in flags:
                owner._trainable = flag
            for weight in thawed:
                weight.requires_grad_(True)
        raise StorageError(f"holds adapters of another model ({error})", at=str(path)) from error
    if about.base != _base(model, list(about.adapters)):
        warnings.warn(f"{path}: the adapters were trained beside other kernels than this model's", stacklevel=2)
    with torch.no_grad():
        for name, value in tensors.items():
            held[name].copy_(value)
    _thaw(model, set(tensors))


# -- for the files beside this one ---------------------------------------------------------------------------


def adapters_of(model: nn.Module) -> dict[str, Adapter]:
    """The adapters in a model, by the paths of their layers."""
    return {path: Adapter(rank=each.adapter_rank, alpha=each.adapter_alpha) for path, each in _adapted(model).items()}


def attach_adapters(model: nn.Module, adapters: Mapping[str, Adapter]) -> None:
    """Give the layers at these paths their adapters.

    Raises: ConfigError if there is none that takes one.
    """
    modules = dict(model.named_modules())
    for path, adapter in adapters.items():
        layer = modules.get(path)
        if not isinstance(layer, KernelLayer) or not takes_adapter(layer):
            raise ConfigError(f"there is no layer {path!r} that takes an adapter")
        add_adapter(layer, adapter.rank, adapter.alpha)


# -- inside --------------------------------------------------------------------------------------------------


def _adapted(model: nn.Module) -> dict[str, LowRank]:
    return {path: each for path, each in model.named_modules() if isinstance(each, LowRank)}


def _chosen(model: Network, layers: str | Sequence[str] | None) -> list[str]:
    able = [path for path, each in model.named_modules() if path and takes_adapter(each)]
    fix = "A Dense, an EinsumDense, attention, and a convolution without groups can."
    if layers is None:
        if not able:
            raise ConfigError(f"no layer of {model.label} takes an adapter", at="add_adapters", fix=fix)
        return able
    chosen: set[str] = set()
    known = {part for path, _ in model.named_modules() if path for part in (path, *path.split("."))}
    for name in [layers] if isinstance(layers, str) else layers:
        found = {path for path in able if f".{name}." in f".{path}."}
        if name not in known and not found:
            raise unknown_name("layer", name, sorted(known), at="add_adapters(layers=...)")
        if not found:
            raise ConfigError(f"{name!r} takes no adapter", at="add_adapters(layers=...)", fix=fix)
        chosen |= found
    return [path for path in able if path in chosen]


def _trained(model: Network) -> dict[str, Tensor]:
    """The weights that train, and the statistics of the layers that do."""
    found: dict[str, Tensor] = {name: each for name, each in model.named_parameters() if each.requires_grad}
    stored = model.state_dict()
    for path, module in model.named_modules():
        if isinstance(module, Layer) and module.trainable:
            own = (f"{path}.{name}" for name, _ in module.named_buffers(recurse=False))
            found |= {name: stored[name] for name in own if name in stored}
    return found


def _thaw(model: Network, names: set[str]) -> None:
    """Let what these names are of train."""
    for name, weight in model.named_parameters():
        if name in names:
            weight.requires_grad_(True)
    for path, module in model.named_modules():
        own = {f"{path}.{name}" for name in (*module._parameters, *module._buffers)}
        if isinstance(module, Layer) and not isinstance(module, LowRank) and own & names:
            module._trainable = True


def _base(model: Network, paths: list[str]) -> str:
    """The SHA-256 of the kernels at these paths."""
    digest = hashlib.sha256()
    for path in paths:
        kernel = model.get_parameter(f"{path}.weight").detach().cpu().contiguous()
        digest.update(kernel.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[_File, dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = msgspec.json.decode((file.metadata() or {})[_KEY], type=_File)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (OSError, KeyError, safetensors.SafetensorError, msgspec.MsgspecError) as error:
        raise StorageError(f"is no file of adapters ({error})", at=str(path)) from error
    if about.format > 1:
        raise StorageError(f"is of format {about.format}, this Lepton reads up to 1", at=str(path))
    return about, tensors
