"""Names of categories as numbers."""

from collections import Counter
from typing import Any, Unpack

import numpy as np

from lepton_ai.core import ConfigError, DataError, ShapeError, UsageError
from lepton_ai.layers.category_outputs import checked_mode, encode, encode_in_graph, output_shape
from lepton_ai.layers.hashing import bucket
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.shapes import Shape, is_shape
from lepton_ai.layers.stage import Array, GraphBuilder, Stage, Value
from lepton_ai.layers.text_graph import hashed, lookup
from lepton_ai.layers.texts import Texts, as_texts
from lepton_ai.layers.vocabulary import Places, checked_terms, inverse_frequencies, learn

_UNKNOWN = -2
_GAP = -1


class StringLookup(Stage):
    """Texts as their numbers in a vocabulary; what is not in it goes into buckets of its own.

    Shapes: `(B,)`, `(B, 1)` or `(B, T)` strings in. Out: the same int64 for "int"; float32 otherwise, with the
    vocabulary's size as the last axis: "one_hot" adds it (in place of a last size of 1), "multi_hot", "count" and
    "tf_idf" count over the last axis.

    Args:
        max_tokens: the most numbers there may be, those of unknown and masked terms included.
        num_oov_indices: buckets for unknown terms; with several, their hash decides. 0: an unknown term is an error.
        mask_token: this term is 0 in "int" mode, and counts for nothing in the others.
        oov_token: how `get_vocabulary` calls unknown terms.
        vocabulary: the terms in order, instead of `adapt`.
        idf_weights: of the terms, for "tf_idf" with a given vocabulary.
        pad_to_max_tokens: let the last axis have `max_tokens`, whatever the vocabulary's size.
        missing: the term that None, NaN and empty strings count as. Without one, None and NaN are errors, and an empty
            string is a term like any other.

    Raises: ConfigError for settings that cannot be; UsageError before `adapt`; DataError naming the row that is no
        text, or is unknown where nothing may be.

    Example:
        >>> jobs = StringLookup()
        >>> jobs.adapt(["nurse", "clerk", "nurse"])
        >>> jobs(["clerk", "pilot", "nurse"])
        tensor([2, 0, 1])
        >>> jobs.unknown(["clerk", "pilot"])
        Counter({'pilot': 1})
    """

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        *,
        missing: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.output_mode = checked_mode(output_mode, "StringLookup.output_mode")
        if not isinstance(num_oov_indices, int) or num_oov_indices < 0:
            raise ConfigError(at="StringLookup.num_oov_indices", got=num_oov_indices, expected="0 or more")
        self.places = Places(mask_token is not None and output_mode == "int", num_oov_indices)
        if max_tokens is not None and self.places.room(max_tokens) < 1:  # type: ignore[operator]
            raise ConfigError(
                at="StringLookup.max_tokens", got=max_tokens, expected=f"more than {self.places.first_term}"
            )
        if pad_to_max_tokens and max_tokens is None:
            raise ConfigError("pad_to_max_tokens needs max_tokens", at="StringLookup")
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token = mask_token, oov_token
        self.pad_to_max_tokens = pad_to_max_tokens
        self.missing = missing
        self.accepts_missing = missing is not None
        self.output_dtype = "int64" if output_mode == "int" else "float32"
        self.vocabulary: tuple[str, ...] | None = None
        self.idf_weights: tuple[float, ...] | None = None
        self._numbers: dict[str, int] = {}
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def adapt(self, data: Any) -> None:
        """Take the vocabulary from the training data: the most frequent terms first.

        Raises: DataError naming the row that is no text; UsageError for no texts at all.
        """
        texts = self._filled(as_texts(data, f"{self.label}.adapt", missing=self.accepts_missing))
        counts = Counter(texts.reshape(-1).tolist())
        for reserved in (self.mask_token, self.oov_token):
            counts.pop(reserved, None)
        if not counts:
            raise UsageError("got no terms to learn", at=f"{self.label}.adapt", fix="Give the training data's column.")
        self.vocabulary = learn(counts, self.places.room(self.max_tokens))
        if self.output_mode == "tf_idf":
            rows = texts.reshape(len(texts), -1).tolist()
            found = Counter(term for row in rows for term in set(row))
            self.idf_weights = inverse_frequencies(self.vocabulary, len(rows), found)
        self._number()

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take a vocabulary that is known.

        Raises: ConfigError for terms that come twice, or weights that are missing or too many.
        """
        at = f"{type(self).__name__}.vocabulary"
        reserved = [self.mask_token] if self.places.mask else []
        reserved += [self.oov_token] * self.num_oov_indices
        terms = checked_terms(vocabulary, at, reserved, self.places.room(self.max_tokens))
        if (self.output_mode == "tf_idf") != (idf_weights is not None):
            raise ConfigError('idf_weights go with output_mode="tf_idf" and a vocabulary', at=at)
        weights = None if idf_weights is None else tuple(float(each) for each in idf_weights)
        if weights is not None and len(weights) != len(terms):
            raise ConfigError(at=f"{at}.idf_weights", got=len(weights), expected=f"{len(terms)}, one for each term")
        self.vocabulary, self.idf_weights = terms, weights
        self._number()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The terms by their numbers; with what stands for masked and unknown ones in front."""
        special = ([self.mask_token or ""] if self.places.mask else []) + [self.oov_token] * self.num_oov_indices
        return [*(special if include_special_tokens else []), *(self.vocabulary or ())]

    def vocabulary_size(self) -> int:
        """How many numbers there are."""
        return self.places.size(len(self.vocabulary or ()))

    def unknown(self, x: Any) -> Counter[str]:
        """The terms in `x` that are not in the vocabulary, and how often each comes."""
        self.ready()
        terms = self._filled(as_texts(x, self.label, missing=self.accepts_missing)).reshape(-1).tolist()
        return Counter(term for term in terms if term not in self._numbers)

    def compute(self, *arrays: Array) -> Array:
        self.ready()
        texts = self._filled(arrays[0])
        found = np.array([self._numbers.get(term, _UNKNOWN) for term in texts.reshape(-1)], np.int64)
        odd = np.flatnonzero(found == _UNKNOWN)
        if odd.size and self.num_oov_indices == 0:
            row = int(odd[0]) // max(1, texts[:1].size)
            raise DataError(
                f"{texts.reshape(-1)[odd[0]]!r} in row {row} is not in the vocabulary, nor are {odd.size - 1} more",
                at=self.label,
                fix="Give unknown terms a bucket: num_oov_indices=1.",
            )
        for at in odd:
            term = texts.reshape(-1)[at]
            found[at] = self.places.first_oov + (
                bucket(term, self.num_oov_indices, 0) if self.num_oov_indices > 1 else 0
            )
        return encode(found.reshape(texts.shape), self.output_mode, self._width(), self._weights())

    def onnx(self, builder: GraphBuilder, *inputs: Value) -> str:
        self.ready()
        texts = inputs[0].name
        if self.missing is not None:
            gap = builder.node("Equal", texts, builder.constant("", object))
            texts = builder.node("Where", gap, builder.constant(self.missing, object), texts)
        simple = self.places.first_oov if self.num_oov_indices == 1 else _UNKNOWN
        numbers = lookup(builder, texts, self._numbers, simple)
        if self.num_oov_indices != 1:
            odd = builder.node("Equal", numbers, builder.constant(_UNKNOWN))
            if self.num_oov_indices == 0:
                numbers = builder.refuse(odd, f"a text that {self.name} does not know", numbers)
            else:
                other = hashed(builder, texts, self.num_oov_indices, 0)
                other = builder.node("Add", other, builder.constant(self.places.first_oov))
                numbers = builder.node("Where", odd, other, numbers)
        return encode_in_graph(builder, numbers, inputs[0], self.output_mode, self._width(), self._weights())

    def compute_output_shape(self, input_shape: Any) -> Shape:
        if not is_shape(input_shape):
            raise ShapeError("got several inputs, expected one", at=self.label)
        width = None if self.vocabulary is None else self._width()
        return output_shape(self.output_mode, tuple(input_shape), width, self.label)

    def ready(self) -> None:
        if self.vocabulary is None:
            raise UsageError(
                "has no vocabulary yet", at=self.label, fix="Call adapt(x_train) before, on the training data."
            )

    def examples(self) -> list[str]:
        return [*(self.vocabulary or ())[:5], *(["something new", ""] if self.num_oov_indices else [])]

    def _filled(self, texts: Texts) -> Texts:
        if self.missing is None:
            return texts
        return np.where(texts == "", np.asarray(self.missing, object), texts)

    def _number(self) -> None:
        assert self.vocabulary is not None
        first = self.places.first_term
        self._numbers = {term: first + index for index, term in enumerate(self.vocabulary)}
        if self.mask_token is not None:
            self._numbers[self.mask_token] = 0 if self.places.mask else _GAP

    def _width(self) -> int:
        return self.max_tokens if self.pad_to_max_tokens and self.max_tokens else self.vocabulary_size()

    def _weights(self) -> tuple[float, ...] | None:
        """Those of all numbers: unknown terms weigh as the mean, what fills up to `max_tokens` nothing."""
        if self.output_mode != "tf_idf" or self.idf_weights is None:
            return None
        weights = (float(np.mean(self.idf_weights)),) * self.places.first_term + self.idf_weights
        return weights + (0.0,) * (self._width() - len(weights))
