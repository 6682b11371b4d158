"""Less memory in training: blocks whose inner results are computed again in the backward pass."""

from collections.abc import Sequence

from lepton_ai.core import ConfigError, UsageError, unknown_name
from lepton_ai.layers import Layer
from lepton_ai.models.network import Network

_AT = "recompute(layers=...)"


def recompute(model: Network, layers: str | Sequence[str] | None = None) -> list[str]:
    """Let `fit` keep only what goes into these layers, and compute what is inside again in the backward pass: about a
    third more time, and memory for one block at a time. Outputs and gradients stay bit-equal.

    It pays for blocks: Transformer blocks, or stacks of layers in a model of their own; a single layer has little
    inside. It is a setting of this process, as the plan is, and not stored. A compiled plan decides by itself.

    Args:
        layers: paths. Every layer directly in the model that holds others, if not given; none if empty.

    Returns: the paths of the layers that recompute now.

    Raises: UnknownNameError; ConfigError if no layer holds others; UsageError for a model that is not built.

    Example:
        >>> from lepton_ai.models import bert_encoder
        >>> recompute(bert_encoder(100, 16, preset="tiny"))
        ['embedding', 'transformer_encoder', 'transformer_encoder_1']
    """
    if not model.built and model.input_specs:
        model.ensure_built(model.input_specs[0].shape)
    if not model.built:
        raise UsageError(f"{model.label} is not built yet", at="recompute", fix="Call it on an example first.")
    known = {path: each for path, each in model.named_modules() if path and isinstance(each, Layer)}
    if layers is None:
        held = [each for each in model.layers if any(isinstance(inner, Layer) for inner in [*each.modules()][1:])]
        chosen = [path for path, each in known.items() if any(each is one for one in held) and _has_weights(each)]
        if not chosen:
            fix = "Name layers, or put stacks of them into models of their own: Sequential([Sequential([...]), ...])."
            raise ConfigError(f"no layer of {model.label} holds others", at=_AT, fix=fix)
    else:
        chosen = [layers] if isinstance(layers, str) else list(layers)
        for name in chosen:
            if name not in known:
                raise unknown_name("layer", name, list(known), at=_AT)
    for path, each in known.items():
        each.recompute = path in chosen
    return chosen


def _has_weights(layer: Layer) -> bool:
    return next(layer.parameters(), None) is not None
