"""Texts as numbers of words."""

from collections import Counter
from typing import Any, Unpack

import numpy as np

from lepton_ai.core import ConfigError, UsageError
from lepton_ai.layers.category_outputs import checked_mode, encode, encode_in_graph
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.shapes import Shape
from lepton_ai.layers.stage import Array, GraphBuilder, Stage, Value, one_value
from lepton_ai.layers.text_graph import lookup, neighbours, sliced, tokenize
from lepton_ai.layers.texts import SPLITS, STANDARDS, as_texts, joined_tokens, standardized, tokens_of
from lepton_ai.layers.vocabulary import Places, checked_terms, inverse_frequencies, learn

_UNKNOWN_TOKEN = "[UNK]"
_GAP = -1  # counts for nothing


class TextVectorization(Stage):
    """Texts cut into words, and words as their numbers in a vocabulary: a sequence, or counts.

    Shapes: `(B,)` or `(B, 1)` strings in. "int": `(B, T)` int64 out, 0 behind the last word and 1 for unknown ones,
    T being `output_sequence_length`, or the longest text's length (at least 1). The other modes: `(B, vocabulary)`
    float32, unknown words in column 0.

    Args:
        max_tokens: the most numbers there may be, those for padding and unknown words included.
        standardize: None, "lower", "strip_punctuation" or "lower_and_strip_punctuation", letter by letter.
        split: "whitespace"; "character"; "mixed", which takes each Chinese or Japanese character for a word and keeps
            the words of other scripts whole; or None, which takes the whole text for one.
        ngrams: also the runs of 2 to so many neighbouring words, joined by spaces, behind the words.
        output_mode: "int", "multi_hot", "count" or "tf_idf".
        output_sequence_length: T for "int": longer texts are cut, shorter ones padded.
        pad_to_max_tokens: let counts have `max_tokens` columns, whatever the vocabulary's size.
        vocabulary: the words in order, instead of `adapt`.
        idf_weights: of the words, for "tf_idf" with a given vocabulary.
        missing: the text that None and NaN count as, often "". Without it they are errors.

    Raises: ConfigError for settings that cannot be; UsageError before `adapt`; DataError naming the row without text.

    Example:
        >>> text = TextVectorization(output_sequence_length=4)
        >>> text.adapt(["A good film.", "A bad film, and a long one"])
        >>> text.get_vocabulary()[:4]
        ['', '[UNK]', 'a', 'film']
        >>> text(["a GOOD idea!"])
        tensor([[2, 6, 1, 0]])
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: str | None = "lower_and_strip_punctuation",
        split: str | None = "whitespace",
        ngrams: int | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        *,
        missing: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        for name, value, known in (("standardize", standardize, STANDARDS), ("split", split, SPLITS)):
            if value not in known:
                expected = " or ".join(map(repr, known))
                fix = "A function of yours cannot travel with the model: apply it to the texts before."
                raise ConfigError(at=f"TextVectorization.{name}", got=value, expected=expected, fix=fix)
        self.standardize, self.split = standardize, split
        self.output_mode = checked_mode(
            output_mode, "TextVectorization.output_mode", ("int", "multi_hot", "count", "tf_idf")
        )
        for name, number in (("ngrams", ngrams), ("output_sequence_length", output_sequence_length)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise ConfigError(at=f"TextVectorization.{name}", got=number, expected="a positive int or None")
        if output_sequence_length is not None and output_mode != "int":
            raise ConfigError('output_sequence_length goes with output_mode="int"', at="TextVectorization")
        if ngrams is not None and ngrams > 1 and split is None:
            raise ConfigError("ngrams need a split: a whole text has no neighbours", at="TextVectorization")
        self.ngrams, self.output_sequence_length = ngrams, output_sequence_length
        self.places = Places(output_mode == "int", 1)
        if max_tokens is not None and self.places.room(max_tokens) < 1:  # type: ignore[operator]
            expected = f"more than {self.places.first_term}"
            raise ConfigError(at="TextVectorization.max_tokens", got=max_tokens, expected=expected)
        if pad_to_max_tokens and max_tokens is None:
            raise ConfigError("pad_to_max_tokens needs max_tokens", at="TextVectorization")
        self.max_tokens, self.pad_to_max_tokens = max_tokens, pad_to_max_tokens
        self.missing = missing
        self.accepts_missing = missing is not None
        self.output_dtype = "int64" if output_mode == "int" else "float32"
        self.vocabulary: tuple[str, ...] | None = None
        self.idf_weights: tuple[float, ...] | None = None
        self._numbers: dict[str, int] = {}
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def adapt(self, data: Any) -> None:
        """Take the vocabulary from the training data: the most frequent words first.

        Raises: DataError naming the row that is no text; UsageError for texts without a word.
        """
        counts: Counter[str] = Counter()
        found: Counter[str] = Counter()
        texts = self._flat(as_texts(data, f"{self.label}.adapt", missing=self.accepts_missing))
        for text in texts:
            tokens = self._tokens(text)
            counts.update(tokens)
            if self.output_mode == "tf_idf":
                found.update(set(tokens))
        for reserved in ("", _UNKNOWN_TOKEN):
            counts.pop(reserved, None)
        if not counts:
            raise UsageError("got no words to learn", at=f"{self.label}.adapt", fix="Give the training data's texts.")
        self.vocabulary = learn(counts, self.places.room(self.max_tokens))
        if self.output_mode == "tf_idf":
            self.idf_weights = inverse_frequencies(self.vocabulary, len(texts), found)
        self._number()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take a vocabulary that is known.

        Raises: ConfigError for words that come twice, or weights that are missing or too many.
        """
        at = "TextVectorization.vocabulary"
        reserved = ["", _UNKNOWN_TOKEN] if self.places.mask else [_UNKNOWN_TOKEN]
        terms = checked_terms(vocabulary, at, reserved, self.places.room(self.max_tokens))
        if (self.output_mode == "tf_idf") != (idf_weights is not None):
            raise ConfigError('idf_weights go with output_mode="tf_idf" and a vocabulary', at=at)
        weights = None if idf_weights is None else tuple(float(each) for each in idf_weights)
        if weights is not None and len(weights) != len(terms):
            raise ConfigError(at=f"{at}.idf_weights", got=len(weights), expected=f"{len(terms)}, one for each word")
        self.vocabulary, self.idf_weights = terms, weights
        self._number()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words by their numbers; with what stands for padding and unknown words in front."""
        special = (["", _UNKNOWN_TOKEN] if self.places.mask else [_UNKNOWN_TOKEN]) if include_special_tokens else []
        return [*special, *(self.vocabulary or ())]

    def vocabulary_size(self) -> int:
        """How many numbers there are: an `Embedding` needs as many rows."""
        return self.places.size(len(self.vocabulary or ()))

    def unknown(self, x: Any) -> Counter[str]:
        """The words in `x` that are not in the vocabulary, and how often each comes."""
        self.ready()
        texts = self._flat(as_texts(x, self.label, missing=self.accepts_missing))
        return Counter(token for text in texts for token in self._tokens(text) if token not in self._numbers)

    def compute(self, *arrays: Array) -> Array:
        self.ready()
        oov = self.places.first_oov
        get = self._numbers.get
        rows = [[get(token, oov) for token in self._tokens(text)] for text in self._flat(arrays[0])]
        most = self.output_sequence_length
        width = most if most is not None else max(1, max(map(len, rows), default=0))
        counted = self.output_mode != "int"
        numbers = np.full((len(rows), width), _GAP if counted else 0, np.int64)
        for row, found in enumerate(rows):
            numbers[row, : len(found)] = found[:width]
        return encode(numbers, self.output_mode, self._width(), self._weights())

    def onnx(self, builder: GraphBuilder, *inputs: Value) -> str:
        self.ready()
        texts = builder.node("Reshape", inputs[0].name, builder.constant([-1]))
        if self.missing:
            gap = builder.node("Equal", texts, builder.constant("", object))
            texts = builder.node("Where", gap, builder.constant(self.missing, object), texts)
        most, ngrams = self.output_sequence_length, self.ngrams or 1
        tokens = tokenize(builder, texts, self.split, self.standardize, most if ngrams == 1 else None)
        if ngrams > 1:
            tokens = neighbours(builder, tokens, ngrams)
        counted = self.output_mode != "int"
        numbers = lookup(builder, tokens, {**self._numbers, "": _GAP if counted else 0}, self.places.first_oov)
        if counted:
            like = Value(numbers, "int64", (None, None))
            return encode_in_graph(builder, numbers, like, self.output_mode, self._width(), self._weights())
        if ngrams > 1:
            numbers = _moved_up(builder, numbers)
        if most is not None:
            room = builder.node("Pad", numbers, builder.constant([0, 0, 0, most]))
            numbers = sliced(builder, room, 0, most, axis=1)
        return numbers

    def compute_output_shape(self, input_shape: Any) -> Shape:
        batch = one_value(input_shape, self.label)[0]
        if self.output_mode == "int":
            return (batch, self.output_sequence_length)
        return (batch, None if self.vocabulary is None else self._width())

    def ready(self) -> None:
        if self.vocabulary is None:
            raise UsageError(
                "has no vocabulary yet", at=self.label, fix="Call adapt(x_train) before, on the training data."
            )

    def examples(self) -> list[str]:
        words = (self.vocabulary or ())[:20]
        return [" ".join(words[:3]), " ".join(words[3:20]), "Something new!", "", " ".join(reversed(words))]

    def _flat(self, texts: Array) -> list[str]:
        listed: list[str] = texts.reshape(-1).tolist()
        return [text or self.missing for text in listed] if self.missing else listed

    def _tokens(self, text: str) -> list[str]:
        tokens = tokens_of(standardized(text, self.standardize), self.split)
        return joined_tokens(tokens, self.ngrams) if self.ngrams and self.ngrams > 1 else tokens

    def _number(self) -> None:
        assert self.vocabulary is not None
        first = self.places.first_term
        self._numbers = {term: first + index for index, term in enumerate(self.vocabulary)}
        # An empty text that is not split is a token of its own, and as good as none.
        self._numbers[""] = 0 if self.places.mask else _GAP

    def _width(self) -> int:
        return self.max_tokens if self.pad_to_max_tokens and self.max_tokens else self.vocabulary_size()

    def _weights(self) -> tuple[float, ...] | None:
        """Those of all numbers: unknown words weigh as the mean, what fills up to `max_tokens` nothing."""
        if self.output_mode != "tf_idf" or self.idf_weights is None:
            return None
        weights = (float(np.mean(self.idf_weights)), *self.idf_weights)
        return weights + (0.0,) * (self._width() - len(weights))


def _moved_up(builder: GraphBuilder, numbers: str) -> str:
    """Each row's numbers without the zeros between them: those go to the end."""
    zero, one = builder.constant(0), builder.constant(1)
    there = builder.node("Cast", builder.node("Greater", numbers, zero), to=np.int64)
    place = builder.node("Sub", builder.node("CumSum", there, one), one)
    room = builder.node("Pad", builder.node("Mul", numbers, zero), builder.constant([0, 0, 0, 1]))
    last = builder.node("Shape", numbers, start=1)
    place = builder.node("Where", builder.node("Greater", there, zero), place, last)
    moved = builder.node("ScatterElements", room, place, numbers, axis=1)
    lengths = builder.node("ReduceSum", there, builder.constant([1]), keepdims=0)
    some = builder.node("Concat", lengths, builder.constant([1]), axis=0)
    longest = builder.node("ReduceMax", some, keepdims=1)
    return builder.node("Slice", moved, builder.constant([0]), longest, builder.constant([1]))
