"""Whole numbers that are categories, and numbers cut into categories: numbered, or one-hot, or counted."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.category_outputs import checked_mode, output_shape
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.fitted import Fitted
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape
from lepton_ai.layers.vocabulary import Places, checked_terms, inverse_frequencies, learn

_NOBODY = -1  # counts for nothing


def encode(numbers: Tensor, mode: str, width: int, weights: Tensor | None = None) -> Tensor:
    """Numbers int64 as `mode` says: "int", "one_hot" (0 or 1 in a new last axis), or counted over the last axis.

    What lies outside 0 to `width` counts for nothing. `weights` are those of each number, in its shape.
    """
    if mode == "int":
        return numbers
    if mode == "one_hot" and numbers.ndim > 1 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    if mode != "one_hot" and numbers.ndim == 1:
        numbers = numbers[:, None]
        weights = None if weights is None else weights[:, None]
    same = numbers[..., None] == torch.arange(width, device=numbers.device)
    if mode == "one_hot":
        return same.to(torch.float32)
    if mode == "multi_hot":
        return same.any(-2).to(torch.float32)
    return same.sum(-2).to(torch.float32) if weights is None else (same * as_float(weights)[..., None]).sum(-2)


class CategoryEncoding(Layer):
    """Numbers of categories as rows of zeros and ones, or of counts. Numbers outside the categories count for nothing.

    Shapes: `(B,)` or `(B, T)` whole numbers in, `(B, num_tokens)` float32 out; for "one_hot" any shape `(...)` in and
    `(..., num_tokens)` out, in place of a last size of 1.

    Args:
        num_tokens: how many categories, counted from 0.
        output_mode: "multi_hot", "one_hot" or "count".
        sparse: only False.

    A call takes `count_weights` of the input's shape for "count", which are added up instead.

    Raises: ConfigError for impossible settings; ShapeError for counts over more than two axes.

    Example:
        >>> CategoryEncoding(3, "count")(torch.tensor([[0, 1, 1], [2, 0, 5]]))
        tensor([[1., 2., 0.],
                [1., 0., 1.]])
    """

    def __init__(
        self,
        num_tokens: int,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.num_tokens = positive_int("CategoryEncoding.num_tokens", num_tokens)
        modes = ("multi_hot", "one_hot", "count")
        self.output_mode = checked_mode(output_mode, "CategoryEncoding.output_mode", modes)
        self.sparse = _dense("CategoryEncoding.sparse", sparse)

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, x: Tensor, count_weights: Tensor | None = None) -> Tensor:
        if count_weights is not None and self.output_mode != "count":
            fix = f'Use output_mode="count", not "{self.output_mode}".'
            raise ConfigError("count_weights are for counts", at=self.label, fix=fix)
        return encode(_whole(x, self.label), self.output_mode, self.num_tokens, count_weights)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return output_shape(self.output_mode, tuple(input_shape), self.num_tokens, self.label)


class IntegerLookup(Fitted):
    """Whole numbers (codes, identities) as their numbers in a vocabulary; what is not in it goes into own buckets.

    Shapes: as `StringLookup`: the same int64 out for "int"; float32 otherwise, with the vocabulary's size as last axis.

    Args:
        max_tokens: the most numbers there may be, those of unknown and masked terms included.
        num_oov_indices: buckets for unknown terms; with several, the remainder decides. 0: an unknown term is an
            error; an exported graph, which cannot raise it, answers -1 or counts nothing.
        mask_token: this term is 0 in "int" mode, and counts for nothing in the others.
        oov_token: what `invert` gives for unknown terms.
        vocabulary: the terms in order, instead of `adapt`.
        vocabulary_dtype: only "int64".
        idf_weights: of the terms, for "tf_idf" with a given vocabulary.
        invert: from numbers back to terms.
        output_mode: "int", "one_hot", "multi_hot", "count" or "tf_idf".
        sparse: only False.
        pad_to_max_tokens: let the last axis have `max_tokens`, whatever the vocabulary's size.

    Raises: ConfigError for impossible settings; UsageError before `adapt`; DataError for an unknown term where none
        may be; ShapeError for counts over more than two axes.

    Example:
        >>> codes = IntegerLookup()
        >>> codes.adapt([700, 42, 700])
        >>> codes(torch.tensor([42, 7, 700]))
        tensor([2, 0, 1])
    """

    state = "vocabulary"
    ordered: Tensor
    numbers: Tensor
    terms: Tensor
    weights: Tensor

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = "IntegerLookup"
        self.output_mode = checked_mode(output_mode, f"{at}.output_mode")
        if isinstance(num_oov_indices, bool) or not isinstance(num_oov_indices, int) or num_oov_indices < 0:
            raise ConfigError(at=f"{at}.num_oov_indices", got=num_oov_indices, expected="0 or more")
        self.places = Places(mask_token is not None and output_mode == "int", num_oov_indices)
        room = self.places.room(max_tokens)
        if room is not None and room < 1:
            raise ConfigError(at=f"{at}.max_tokens", got=max_tokens, expected=f"more than {self.places.first_term}")
        if pad_to_max_tokens and max_tokens is None:
            raise ConfigError("pad_to_max_tokens needs max_tokens", at=at)
        if vocabulary_dtype != "int64":
            raise ConfigError(at=f"{at}.vocabulary_dtype", got=vocabulary_dtype, expected='"int64"')
        if invert and output_mode != "int":
            raise ConfigError(at=f"{at}.output_mode", got=output_mode, expected='"int" with invert')
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token = mask_token, oov_token
        self.vocabulary_dtype, self.invert = vocabulary_dtype, invert
        self.sparse = _dense(f"{at}.sparse", sparse)
        self.pad_to_max_tokens = pad_to_max_tokens
        self.vocabulary: tuple[int, ...] | None = None
        self.idf_weights: tuple[float, ...] | None = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take a vocabulary that is known.

        Raises: ConfigError for terms that are no ints or come twice, or weights that are missing or too many.
        """
        at = "IntegerLookup.vocabulary"
        reserved = [self.mask_token] if self.places.mask else []
        reserved += [self.oov_token] * self.num_oov_indices
        terms = checked_terms(vocabulary, at, reserved, self.places.room(self.max_tokens))
        odd = next((term for term in terms if isinstance(term, bool) or not isinstance(term, int)), None)
        if odd is not None:
            raise ConfigError(at=at, got=odd, expected="ints")
        if (self.output_mode == "tf_idf") != (idf_weights is not None):
            raise ConfigError('idf_weights go with output_mode="tf_idf" and a vocabulary', at=at)
        weights = None if idf_weights is None else tuple(float(each) for each in idf_weights)
        if weights is not None and len(weights) != len(terms):
            raise ConfigError(at=f"{at}.idf_weights", got=len(weights), expected=f"{len(terms)}, one for each term")
        self._take(terms, weights)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[int | None]:
        """The terms by their numbers; with what stands for masked and unknown ones in front."""
        special = ([self.mask_token] if self.places.mask else []) + [self.oov_token] * self.num_oov_indices
        return [*(special if include_special_tokens else []), *(self.vocabulary or ())]

    def vocabulary_size(self) -> int:
        """How many numbers there are."""
        return self.places.size(len(self.vocabulary or ()))

    def fit_to(self, values: Tensor) -> None:
        values = _whole(values, f"{self.label}.adapt").to(torch.int64)
        held = _counts(values)
        for reserved in (self.mask_token, self.oov_token):
            held.pop(reserved, None)  # type: ignore[arg-type]
        if not held:
            fix = "Give the training data's column."
            raise DataError("got no terms but those that stand for something else", at=f"{self.label}.adapt", fix=fix)
        vocabulary = learn(held, self.places.room(self.max_tokens))
        weights = None
        if self.output_mode == "tf_idf":
            rows = values.reshape(len(values), -1).sort(1).values
            first = torch.ones_like(rows, dtype=torch.bool)
            first[:, 1:] = rows[:, 1:] != rows[:, :-1]
            weights = inverse_frequencies(vocabulary, len(rows), _counts(rows[first]))
        self._take(vocabulary, weights)

    def transform(self, x: Tensor) -> Tensor:
        x = _whole(x, self.label).to(torch.int64)
        if self.invert:
            inside = (x >= 0) & (x < len(self.terms))
            return torch.where(inside, self.terms[torch.where(inside, x, 0)], self.oov_token)
        numbers = self._numbers(x)
        weights = self.weights[numbers.clamp(min=0)] if self.output_mode == "tf_idf" else None
        return encode(numbers, self.output_mode, self._width(), weights)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        width = None if self.vocabulary is None else self._width()
        return output_shape(self.output_mode, tuple(input_shape), width, self.label)

    def _numbers(self, x: Tensor) -> Tensor:
        """By bisection, whose steps a graph can hold; torch's own search has no operator there."""
        count = len(self.ordered)
        below = torch.zeros_like(x)
        for power in reversed(range(count.bit_length())):
            further = below + 2**power
            held = self.ordered[(further - 1).clamp(max=count - 1)]
            below = torch.where((further <= count) & (held < x), further, below)
        place = below.clamp(max=count - 1)
        known = self.ordered[place] == x
        if self.num_oov_indices == 0 and not torch.compiler.is_compiling():
            self._refuse_unknown(x, known)
        oov: Tensor | int = self.places.first_oov if self.num_oov_indices else _NOBODY
        if self.num_oov_indices > 1:
            oov = self.places.first_oov + x.remainder(self.num_oov_indices)
        numbers = torch.where(known, self.numbers[place], oov)
        if self.mask_token is not None:
            numbers = torch.where(x == self.mask_token, 0 if self.places.mask else _NOBODY, numbers)
        return numbers

    def _refuse_unknown(self, x: Tensor, known: Tensor) -> None:
        odd = ~known if self.mask_token is None else ~known & (x != self.mask_token)
        if bool(odd.any()):
            at = int(odd.flatten().to(torch.uint8).argmax())
            raise DataError(
                f"{x.flatten()[at].item()} in row {at // max(1, x[:1].numel())} is not in the vocabulary, "
                f"nor are {int(odd.sum()) - 1} more",
                at=self.label,
                fix="Give unknown terms a bucket: num_oov_indices=1.",
            )

    def _take(self, terms: tuple[int, ...], weights: tuple[float, ...] | None) -> None:
        """Keep them in the config, which tells the next layer how wide the output is, and as tensors for the lookup."""
        self.vocabulary, self.idf_weights = terms, weights
        values = torch.tensor(terms, dtype=torch.int64)
        order = values.argsort()
        for name, value in (
            ("ordered", values[order]),
            ("numbers", order + self.places.first_term),
            ("terms", torch.tensor([each or 0 for each in self.get_vocabulary()], dtype=torch.int64)),
        ):
            self.register_buffer(name, value, persistent=False)
        if weights is not None:
            # Unknown terms weigh as the mean.
            everyone = (float(np.mean(weights)),) * self.places.first_term + weights
            self.register_buffer("weights", torch.tensor(everyone), persistent=False)
        self.adapted = True

    def _width(self) -> int:
        return self.max_tokens if self.pad_to_max_tokens and self.max_tokens else self.vocabulary_size()


class Discretization(Fitted):
    """Numbers as the bins that they lie in: below the first boundary 0, from it on 1, and so forth.

    Shapes: any in, the same int64 out for "int"; float32 otherwise: `(..., bins)` for "one_hot", `(B, bins)` counted
    over the last axis for "multi_hot" and "count". NaN counts as larger than all.

    Args:
        bin_boundaries: in ascending order, for all features.
        num_bins: let `adapt` put the boundaries so that as many values of the training data lie in each bin.
        epsilon: the error that Keras allows itself; the quantiles here are exact.
        output_mode: "int", "one_hot", "multi_hot" or "count".
        sparse: only False.

    Raises: ConfigError for impossible settings; UsageError before `adapt`; ShapeError for counts over more than two
        axes.

    Example:
        >>> ages = Discretization(num_bins=3)
        >>> ages.adapt([20, 30, 40, 50, 60, 70])
        >>> ages(torch.tensor([[18, 45, 99]]))
        tensor([[0, 1, 2]])
    """

    state = "bin boundaries"

    def __init__(
        self,
        bin_boundaries: Sequence[float] | None = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = "Discretization"
        modes = ("int", "one_hot", "multi_hot", "count")
        self.output_mode = checked_mode(output_mode, f"{at}.output_mode", modes)
        self.num_bins = None if num_bins is None else positive_int(f"{at}.num_bins", num_bins)
        self.bin_boundaries: tuple[float, ...] | None = None
        if bin_boundaries is not None:
            self.bin_boundaries = tuple(map(float, bin_boundaries))
            rising = all(a < b for a, b in zip(self.bin_boundaries, self.bin_boundaries[1:], strict=False))
            if num_bins is None and not (rising and all(map(math.isfinite, self.bin_boundaries))):
                raise ConfigError(
                    at=f"{at}.bin_boundaries", got=self.bin_boundaries, expected="finite numbers, each above the last"
                )
        # Both are there once `adapt` has found the boundaries, which are kept in the config.
        if (num_bins is None) == (bin_boundaries is None) and len(self.bin_boundaries or ()) + 1 != num_bins:
            raise ConfigError(
                "needs either bin_boundaries or num_bins", at=at, fix="Write Discretization(num_bins=10)."
            )
        self.epsilon = epsilon
        self.sparse = _dense(f"{at}.sparse", sparse)
        self.adapted = bin_boundaries is not None

    @property
    def given(self) -> bool:
        return self.num_bins is None

    def fit_to(self, values: Tensor) -> None:
        assert self.num_bins is not None
        numbers = values.flatten().cpu()
        if numbers.is_floating_point():
            numbers = numbers[~numbers.isnan()]
            if not numbers.numel() or bool(numbers.isinf().any()):
                raise DataError("got only missing values, or infinite ones", at=self.label, fix="Clean the data first.")
        ordered = numbers.sort().values.double()
        # Keras' quantile: a share k / n of the values lies up to the k-th.
        places = (torch.arange(1, self.num_bins).double() / self.num_bins * len(ordered) - 1).clamp(min=0)
        low = places.floor().long()
        below, above = ordered[low], ordered[(low + 1).clamp(max=len(ordered) - 1)]
        self.bin_boundaries = tuple((below + (above - below) * (places - low)).tolist())

    def transform(self, x: Tensor) -> Tensor:
        assert self.bin_boundaries is not None
        x = as_float(x)
        # Written with "not below", so that NaN lands in one bin here and in a graph.
        numbers = (~(x[..., None] < x.new_tensor(self.bin_boundaries))).sum(-1)
        return encode(numbers, self.output_mode, len(self.bin_boundaries) + 1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        width = self.num_bins or len(self.bin_boundaries or ()) + 1
        return output_shape(self.output_mode, tuple(input_shape), width, self.label)


def _counts(values: Tensor) -> dict[int, int]:
    terms, counts = np.unique(values.cpu().numpy(), return_counts=True)
    return dict(zip(terms.tolist(), counts.tolist(), strict=True))


def _whole(x: Tensor, at: str) -> Tensor:
    """Numbers of categories, which floats are not: they may come rounded.

    Raises: ShapeError.
    """
    if x.is_floating_point():
        raise ShapeError(
            at=at,
            got=str(x.dtype).removeprefix("torch."),
            expected="whole numbers",
            fix='Declare them, Input(shape, dtype="int64"), and convert the data: x.astype("int64").',
        )
    return x


def _dense(at: str, sparse: bool) -> bool:
    if sparse:
        raise ConfigError(at=at, got=sparse, expected="False: outputs are dense")
    return False
