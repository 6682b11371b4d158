"""Convolutional networks for texts.

Kim: Convolutional neural networks for sentence classification, 2014 (arXiv:1408.5882).
"""

from lepton_ai.core import ConfigError, unknown_name
from lepton_ai.layers import Concatenate, Conv1D, Dense, Dropout, Embedding, GlobalMaxPooling1D, Input, MaxNorm
from lepton_ai.models.blocks import positive
from lepton_ai.models.model import Model

# Size of a token's vector, and filters of each width; "base" is the paper's.
_PRESETS = {"small": (64, 32), "base": (300, 100)}


def text_cnn(
    vocabulary_size: int,
    sequence_length: int | None = None,
    classes: int | None = 2,
    *,
    preset: str = "base",
    embedding_dim: int | None = None,
    filters: int | None = None,
    widths: tuple[int, ...] = (3, 4, 5),
    dropout: float = 0.5,
    max_norm: float | None = 3.0,
    classifier_activation: str | None = "softmax",
) -> Model:
    """A network that looks for runs of tokens: convolutions of several widths side by side, the maximum of each.

    Texts are `(T,)` int64 tokens from 0 to `vocabulary_size - 1`, of any length unless `sequence_length` fixes it;
    short ones are filled up with a token of their own, 0 by custom.

    Args:
        classes: None gives the features before the classifier.
        preset: "small" or "base", for the sizes that are not given.
        filters: of each width.
        widths: how many tokens a convolution sees.
        dropout: before the classifier.
        max_norm: limit of the norm of each class' weights.

    Raises: ConfigError for impossible sizes; UnknownNameError for another preset.

    Example:
        >>> model = text_cnn(1000, 50, classes=3, preset="small")
        >>> model.compute_output_shape((None, 50))
        (None, 3)
    """
    vector, count = _sizes(preset)
    vector, count = embedding_dim or vector, filters or count
    positive("text_cnn", vocabulary_size=vocabulary_size, embedding_dim=vector, filters=count)
    if sequence_length is not None:
        positive("text_cnn", sequence_length=sequence_length)
    if not widths:
        raise ConfigError(at="text_cnn.widths", got=widths, expected="at least one")
    positive("text_cnn", **{f"widths[{index}]": width for index, width in enumerate(widths)})
    tokens = Input((sequence_length,), dtype="int64", name="tokens")
    embedded = Embedding(vocabulary_size, vector, name="embedding")(tokens)
    # "same": a text that is shorter than the widest convolution has an answer too.
    runs = [GlobalMaxPooling1D()(Conv1D(count, width, padding="same", activation="relu")(embedded)) for width in widths]
    x = Concatenate()(runs) if len(runs) > 1 else runs[0]
    if classes is not None:
        check_classifier("text_cnn", classes, classifier_activation)
        limit = None if max_norm is None else MaxNorm(max_norm)
        x = Dropout(dropout)(x)
        x = Dense(classes, classifier_activation, kernel_constraint=limit, name="classifier")(x)
    return Model(tokens, x, name="text_cnn")


def check_classifier(at: str, classes: int, activation: str | None) -> None:
    """Raise a ConfigError for no classes, or for a softmax over one, which is 1 whatever comes."""
    positive(at, classes=classes)
    if classes == 1 and activation == "softmax":
        raise ConfigError(
            at=f"{at}.classes",
            got=classes,
            expected="at least 2 for a softmax",
            fix='For one probability write classes=1, classifier_activation="sigmoid".',
        )


def _sizes(preset: str) -> tuple[int, int]:
    if preset not in _PRESETS:
        raise unknown_name("preset", preset, list(_PRESETS), at="text_cnn")
    return _PRESETS[preset]
