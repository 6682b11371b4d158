"""LPDNN: convolutional, recurrent and Transformer networks, for images, texts and series."""

from collections.abc import Callable, Sequence
from typing import Any

from lepton_ai.core import ConfigError, unknown_name
from lepton_ai.layers import (
    GRU,
    LSTM,
    Add,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    Layer,
    Normalization,
    PositionEmbedding,
    Rescaling,
    SinePositionEncoding,
    TextVectorization,
    TransformerEncoder,
)
from lepton_ai.models import Model, mobilenet_v2, resnet, text_cnn
from lepton_ai.tasks.answers import answer, early_stop, loss_of
from lepton_ai.tasks.specification import Image, Output, Series, Text
from lepton_ai.tasks.specified import Pair, Specified
from lepton_ai.training import Adam, CosineDecay, History

_VOCABULARY = 20_000  # terms of texts, at most


class LPDNN(Specified):
    """A deep network of a known family, as large as it may be.

    Pixels are scaled, series standardised, texts cut into tokens: all of that is part of the model, so it takes rows
    as they are.

    Args:
        inputs: `Image(...)`, `Text(...)` or `Series(...)`.
        outputs: `Classes(labels=...)` or `Numbers(count=...)`.
        parameters: the most numbers that the model may learn.
        family: of images "resnet" or "mobilenet_v2"; of texts "text_cnn", "lstm", "gru" or "transformer"; of series
            "cnn", "lstm", "gru" or "transformer". The first if not given.
        augmentation: layers for training, such as `RandomTranslation(0.1, 0.1)`: what leaves a row's answer as it is.
    """

    accepted = (Image, Text, Series)
    inputs: Image | Text | Series

    def __init__(
        self,
        inputs: Image | Text | Series,
        outputs: Output,
        *,
        parameters: int = 1_000_000,
        family: str | None = None,
        augmentation: Sequence[Layer] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(inputs, outputs, parameters=parameters, seed=seed)
        known = _FAMILIES[type(inputs)]
        if family is not None and family not in known:
            raise unknown_name("family", family, sorted(known), at=f"LPDNN of {type(inputs).__name__}")
        if augmentation and isinstance(inputs, Text):
            raise ConfigError(at="LPDNN.augmentation", got=list(augmentation), expected="none for texts")
        self.family: str = family or next(iter(known))
        self.augmentation = tuple(augmentation)

    def learn(self, train: Pair, held_out: Pair, **options: Any) -> tuple[Model, History | None]:
        rows, targets = train
        inputs, x, tokens = self._entered(rows)
        for layer in self.augmentation:
            x = layer(x)
        sizes, make = _FAMILIES[type(self.inputs)][self.family]
        model: Model | None = None
        for size in sizes:
            larger = Model(inputs, answer(self.outputs, make(x, tokens, size), targets), name="lpdnn")
            if not self._fits(larger):
                if model is None:
                    raise self._too_small(larger)
                break
            model = larger
        assert model is not None
        steps = options["epochs"] * -(-len(targets) // options["batch_size"])
        warmup = max(1, steps // 20)
        schedule = CosineDecay(1e-4, max(1, steps - warmup), alpha=0.01, warmup_target=2e-3, warmup_steps=warmup)
        loss, metrics = loss_of(self.outputs)
        model.compile(Adam(schedule), loss, metrics=metrics)
        history = model.fit(
            rows, targets, validation_data=held_out, callbacks=[early_stop(10)], seed=self.seed, **options
        )
        return model, history

    def _entered(self, rows: Any) -> tuple[Any, Any, int]:
        """The input, what the network sees of it, and how many tokens there are."""
        if isinstance(self.inputs, Image):
            image = Input((self.inputs.height, self.inputs.width, self.inputs.channels), dtype="uint8", name="image")
            return image, Rescaling(1 / 127.5, -1.0)(image), 0
        if isinstance(self.inputs, Series):
            series = Input((self.inputs.steps, self.inputs.channels), name="series")
            scale = Normalization(missing="mean")
            scale.adapt(rows)
            return series, scale(series), 0
        text = Input((), dtype="string", name="text")
        # Half of what the model may learn can go into the vectors of tokens.
        most = min(_VOCABULARY, max(100, self.parameters // 2 // 32))
        vectorize = TextVectorization(
            most, split=self.inputs.split, output_sequence_length=self.inputs.length, missing=""
        )
        vectorize.adapt(rows)
        return text, vectorize(text), len(vectorize.get_vocabulary())


def _resnet(x: Any, tokens: int, size: Any) -> Any:
    return resnet(tuple(x.shape[1:]), None, depth=size[0], width=size[1])(x)


def _mobilenet(x: Any, tokens: int, size: float) -> Any:
    return Dropout(0.2)(mobilenet_v2(tuple(x.shape[1:]), None, alpha=size)(x))


def _text_cnn(x: Any, tokens: int, size: int) -> Any:
    return Dropout(0.5)(text_cnn(tokens, x.shape[1], None, embedding_dim=size, filters=size)(x))


def _recurrent(kind: Callable[..., Layer]) -> Callable[[Any, int, int], Any]:
    def make(x: Any, tokens: int, size: int) -> Any:
        if tokens:
            x = Embedding(tokens, size, mask_zero=True)(x)
        return Dropout(0.3)(Bidirectional(kind(size))(x))

    return make


def _transformer(x: Any, tokens: int, size: int) -> Any:
    x = Embedding(tokens, size, mask_zero=True)(x) if tokens else Dense(size)(x)
    places = SinePositionEncoding() if x.shape[1] is None else PositionEmbedding(x.shape[1])
    x = Add()([x, places(x)])
    for _ in range(2):
        x = TransformerEncoder(2 * size, max(1, size // 16), dropout=0.1, normalize_first=True)(x)
    return Dropout(0.1)(GlobalAveragePooling1D()(x))


def _cnn(x: Any, tokens: int, size: int) -> Any:
    # Dilated kernels look as far as pooled ones would, 29 steps, and take a series of any length.
    for factor in (1, 2, 4):
        x = Conv1D(
            size * factor, 5, padding="same", dilation_rate=factor, activation="relu", kernel_initializer="he_normal"
        )(x)
    return Dropout(0.2)(GlobalMaxPooling1D()(x))


_UNITS = (8, 16, 32, 64, 128, 256, 512)
_RESNETS = ((8, 4), (8, 8), (8, 16), (14, 16), (20, 16), (32, 16), (20, 32), (32, 32), (18, 64), (34, 64), (50, 64))

# For each kind of input the families that it may have, each with its sizes, rising, and what makes the features.
_FAMILIES: dict[type, dict[str, tuple[Sequence[Any], Callable[[Any, int, Any], Any]]]] = {
    Image: {
        "resnet": (_RESNETS, _resnet),
        "mobilenet_v2": ((0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.4), _mobilenet),
    },
    Text: {
        "text_cnn": (_UNITS[1:], _text_cnn),
        "lstm": (_UNITS, _recurrent(LSTM)),
        "gru": (_UNITS, _recurrent(GRU)),
        "transformer": (_UNITS[1:], _transformer),
    },
    Series: {
        "cnn": (_UNITS, _cnn),
        "lstm": (_UNITS, _recurrent(LSTM)),
        "gru": (_UNITS, _recurrent(GRU)),
        "transformer": (_UNITS[1:], _transformer),
    },
}
