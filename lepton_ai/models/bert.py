"""Encoders of texts.

Devlin, Chang, Lee, Toutanova: BERT, 2018 (arXiv:1810.04805); the small sizes are those of Turc et al., 2019
(arXiv:1908.08962).
"""

from typing import Any

from lepton_ai.core import ConfigError, unknown_name
from lepton_ai.layers import (
    Add,
    Dense,
    Dropout,
    Embedding,
    FirstStep,
    Input,
    LayerNormalization,
    TokenAndPositionEmbedding,
    TransformerEncoder,
    TruncatedNormal,
)
from lepton_ai.models.blocks import positive
from lepton_ai.models.model import Model
from lepton_ai.models.text_cnn import check_classifier

# Layers, heads, width.
_PRESETS = {
    "tiny": (2, 2, 128),
    "mini": (4, 4, 256),
    "small": (4, 8, 512),
    "medium": (8, 8, 512),
    "base": (12, 12, 768),
    "large": (24, 16, 1024),
}
_EPSILON = 1e-12
_OUTPUTS = ("pooled", "sequence")


def bert_encoder(
    vocabulary_size: int,
    sequence_length: int = 512,
    classes: int | None = None,
    *,
    preset: str = "base",
    layers: int | None = None,
    heads: int | None = None,
    width: int | None = None,
    intermediate_dim: int | None = None,
    segments: int = 2,
    dropout: float = 0.1,
    output: str = "pooled",
    classifier_activation: str | None = "softmax",
) -> Model:
    """A Transformer encoder of texts, with the weights that training starts from.

    Inputs are `tokens`, `(T,)` int64 with 0 for padding, which nothing attends to, and `segments`, `(T,)` int64, the
    part of the text that each token belongs to. T is free, up to `sequence_length`.

    Args:
        classes: of a classifier on the pooled output; None gives the output itself.
        preset: "tiny", "mini", "small", "medium", "base" or "large", for the sizes that are not given.
        layers: Transformer blocks.
        heads: of their attention, a divisor of `width`.
        width: size of each step's vector.
        intermediate_dim: of the blocks' networks; four times the width if not given.
        segments: how many parts a text may have; 1 leaves `tokens` as the only input.
        output: "pooled", `(width,)`, a dense layer on the first step; or "sequence", `(T, width)`.

    Raises: ConfigError for impossible sizes; UnknownNameError for another preset or output.

    Example:
        >>> model = bert_encoder(1000, 64, preset="tiny", segments=1, output="sequence")
        >>> model.compute_output_shape((None, None))
        (None, None, 128)
    """
    if preset not in _PRESETS:
        raise unknown_name("preset", preset, list(_PRESETS), at="bert_encoder")
    if output not in _OUTPUTS:
        raise unknown_name("output", output, list(_OUTPUTS), at="bert_encoder")
    usual = _PRESETS[preset]
    layers = usual[0] if layers is None else layers
    heads = usual[1] if heads is None else heads
    width = usual[2] if width is None else width
    positive("bert_encoder", vocabulary_size=vocabulary_size, sequence_length=sequence_length, layers=layers)
    positive("bert_encoder", heads=heads, width=width, segments=segments)
    intermediate_dim = 4 * width if intermediate_dim is None else intermediate_dim
    if width % heads:
        raise ConfigError(at="bert_encoder.heads", got=heads, expected=f"a divisor of width={width}")
    if classes is not None and output != "pooled":
        raise ConfigError(at="bert_encoder.output", got=output, expected='"pooled" with classes')

    tokens = Input((None,), dtype="int64", name="tokens")
    inputs: Any = tokens
    embedding = TokenAndPositionEmbedding(
        vocabulary_size, sequence_length, width, _start(), mask_zero=True, name="embedding"
    )
    x: Any = embedding(tokens)
    if segments > 1:
        inputs = {"tokens": tokens, "segments": Input((None,), dtype="int64", name="segments")}
        x = Add()([x, Embedding(segments, width, _start(), name="segment_embedding")(inputs["segments"])])
    x = Dropout(dropout)(LayerNormalization(epsilon=_EPSILON)(x))
    for _ in range(layers):
        x = TransformerEncoder(intermediate_dim, heads, dropout, "gelu", _EPSILON, _start())(x)
    if output == "pooled":
        x = Dense(width, "tanh", kernel_initializer=_start(), name="pooler")(FirstStep()(x))
    if classes is not None:
        check_classifier("bert_encoder", classes, classifier_activation)
        x = Dropout(dropout)(x)
        x = Dense(classes, classifier_activation, kernel_initializer=_start(), name="classifier")(x)
    return Model(inputs, x, name="bert")


def _start() -> TruncatedNormal:
    return TruncatedNormal(stddev=0.02)
