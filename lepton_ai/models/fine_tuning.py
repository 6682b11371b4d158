"""Fine-tuning: rates that fall from layer to layer, and layers that begin to train later than others."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from lepton_ai.core import ConfigError, UsageError, unknown_name
from lepton_ai.layers import Layer, within
from lepton_ai.models.network import Network

ALL = "all"
_AT = "fit(unfreeze=...)"


def layer_wise_decay(model: Network, decay: float = 0.75, *, lowest: float = 0.0) -> dict[str, float]:
    """Multiples of the learning rate for `Adam(1e-4, rates=...)`: 1 for the last layer with a kernel, and `decay`
    times as much for each one below it.

    Layers count in the order of the model's calls, those of models inside too; a block with layers of its own, as a
    `TransformerEncoder`, is one. Layers without a kernel, as normalisations, go with the one below them.

    Args:
        lowest: no multiple is below it.

    Raises: ConfigError for a decay that is not in (0, 1]; UsageError for a model without weights.

    Source: Howard & Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.2.

    Example:
        >>> from lepton_ai.layers import BatchNormalization, Dense
        >>> from lepton_ai.models import Sequential
        >>> body = [Dense(8, name="one", input_shape=(4,)), BatchNormalization(name="norm"), Dense(8, name="two")]
        >>> layer_wise_decay(Sequential([*body, Dense(2, name="head")]), 0.5)
        {'one': 0.25, 'norm': 0.25, 'two': 0.5, 'head': 1.0}
    """
    for name, value in (("decay", decay), ("lowest", lowest)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ConfigError(at=f"layer_wise_decay.{name}", got=value, expected="a number from 0 to 1")
    if not decay:
        raise ConfigError(at="layer_wise_decay.decay", got=decay, expected="a number above 0, up to 1")
    levels: list[list[str]] = []
    for path, module in _with_weights(model, ""):
        if not levels or any(weight.ndim > 1 for weight in module.parameters()):
            levels.append([])
        levels[-1].append(path)
    if not levels:
        raise UsageError(f"{model.label} has no weights yet", at="layer_wise_decay", fix="Call it on an example first.")
    depth = len(levels) - 1
    return {path: max(decay ** (depth - place), lowest) for place, level in enumerate(levels) for path in level}


def _with_weights(model: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for path, module in within(model):
        if isinstance(module, Network):
            yield from _with_weights(module, f"{prefix}{path}.")
        elif next(module.parameters(), None) is not None:
            yield prefix + path, module


class Unfreezing:
    """Which layers train from which epoch on; see `Model.fit`.

    It only ever delays: what was frozen before stays frozen. So the layers that train in an epoch follow from the
    model as it was built and from the epoch, and a resumed run or another worker finds the same.

    Raises: ConfigError, UnknownNameError for a schedule that cannot be.
    """

    def __init__(self, model: Network, schedule: Mapping[int, str | Sequence[str]]) -> None:
        self.schedule = {epoch: _names(epoch, names) for epoch, names in _checked(schedule)}
        self._layers = [each for each in model.modules() if isinstance(each, Layer) and each.trainable]
        self._weights = [each for each in model.parameters() if each.requires_grad]
        modules = {path: each for path, each in model.named_modules(remove_duplicate=False) if path}
        self._starts: list[tuple[int, set[int]]] = []  # the layers and weights that an epoch adds, by id
        awake: set[int] = set()
        for epoch, names in self.schedule.items():
            added: set[int] = set()
            for name in names:
                if name != ALL and name not in modules:
                    raise unknown_name("layer", name, [*modules, ALL], at=_AT)
                inside = model if name == ALL else modules[name]
                found = {id(each) for each in (*inside.modules(), *inside.parameters())} - awake - added
                if not any(id(weight) in found for weight in self._weights):
                    raise ConfigError(
                        f"{name!r} adds nothing in epoch {epoch}: what it holds is frozen, or trains already",
                        at=_AT,
                        fix="Leave layers trainable, and name each once: the schedule freezes them until their epoch.",
                    )
                added |= found
            awake |= added
            self._starts.append((epoch, added))

    @property
    def described(self) -> dict[str, object]:
        """The schedule, as JSON can hold it."""
        return {str(epoch): names for epoch, names in self.schedule.items()}

    def thaw(self, epoch: int) -> None:
        """Let the layers of this epoch train, and no others."""
        awake = {each for start, added in self._starts if start <= epoch for each in added}
        for layer in self._layers:
            layer._trainable = id(layer) in awake
        for weight in self._weights:
            weight.requires_grad_(id(weight) in awake)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Afterwards all trains again that did before."""
        try:
            yield
        finally:
            for layer in self._layers:
                layer._trainable = True
            for weight in self._weights:
                weight.requires_grad_(True)


def _checked(schedule: Any) -> list[tuple[int, Any]]:
    fix = 'Write unfreeze={0: ["head"], 2: ["backbone.top"], 4: "all"}.'
    if not isinstance(schedule, Mapping) or not all(
        isinstance(epoch, int) and not isinstance(epoch, bool) and epoch >= 0 for epoch in schedule
    ):
        raise ConfigError(at=_AT, got=schedule, expected="layers by the epoch from which they train", fix=fix)
    if 0 not in schedule:
        raise ConfigError(at=_AT, got=schedule, expected="layers that train in epoch 0, too", fix=fix)
    return sorted(schedule.items())


def _names(epoch: int, names: Any) -> list[str]:
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list | tuple) or not listed or not all(isinstance(each, str) for each in listed):
        raise ConfigError(at=f"{_AT}[{epoch}]", got=names, expected='paths of layers, or "all"')
    return list(listed)
