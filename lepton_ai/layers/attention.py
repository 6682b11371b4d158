"""Attention of queries to values, by scores that only the queries and the keys decide."""

from collections.abc import Sequence
from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ShapeError
from lepton_ai.layers.arguments import fraction, one_of
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.masks import check_mask
from lepton_ai.layers.random import draws_for
from lepton_ai.layers.shapes import Shape, is_shape, show

# -- what all kinds of attention share -------------------------------------------------------------------


def causal_mask(queries: Tensor, keys: Tensor) -> Tensor:
    """(T, S), True up to the query's own place."""
    return torch.ones(queries.shape[-2], keys.shape[-2], dtype=torch.bool, device=queries.device).tril()


def both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Where both masks keep; None keeps all."""
    return second if first is None else first if second is None else first & second


def weights_of(scores: Tensor, mask: Tensor | None) -> Tensor:
    """The softmax of each query's scores over the keys that `mask` keeps: 0 elsewhere, and for a query without any."""
    if mask is None:
        return scores.softmax(-1)
    # The least number, not infinity: a query without keys would give NaN.
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(~mask, 0.0)


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """Scaled dot-product attention, (B, heads, T, size), in torch's fused kernels; weights as of `weights_of`."""
    if mask is None:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=causal, scale=scale)
    if causal:
        mask = mask & causal_mask(queries, keys)
    # Numbers instead of booleans, for which runtimes put infinities: a query without keys would give NaN there.
    bias = torch.zeros_like(mask, dtype=queries.dtype).masked_fill(~mask, torch.finfo(queries.dtype).min / 2)
    output = F.scaled_dot_product_attention(queries, keys, values, bias, scale=scale)
    return output.masked_fill(~mask.any(-1, keepdim=True), 0.0)


def check_parts(label: str, query: Shape, key: Shape, value: Shape) -> None:
    """Raise a ShapeError unless there is one batch size, and a key for each value."""
    if not _agree(query[0], value[0]) or not _agree(key[0], value[0]) or not _agree(key[1], value[1]):
        raise ShapeError(
            f"got query {show(query)}, value {show(value)} and key {show(key)}, expected one batch size, "
            "and a key for each value",
            at=label,
        )


def _agree(first: int | None, second: int | None) -> bool:
    return first is None or second is None or first == second


# -- attention without projections -----------------------------------------------------------------------


class Attention(Layer):
    """Each query's mean of the values, weighted by the softmax of its products with the keys (Luong et al., 2015).

    Shapes: a list of query `(B, T, D)`, value `(B, S, V)` and key `(B, S, D)` (the value unless given) in,
    `(B, T, V)` out.

    Args:
        use_scale: learn a number that scales the scores.
        score_mode: "dot" for `query @ key`, "concat" for `sum(tanh(query + key))` with a learnt factor.
        dropout: share of the weights zeroed in training.

    The call takes `mask`, a list of masks of the query, whose masked steps give 0, and of the value, whose masked
    steps get no weight (booleans `(B, T)` and `(B, S)`, or None); `use_causal_mask` (only steps up to the query's
    own); and `return_attention_scores` (then the answer is a pair with the weights `(B, T, S)`). A query that may
    look nowhere gets 0.

    Raises: ShapeError naming the layer.

    Example:
        >>> x = torch.ones(2, 5, 16)
        >>> Attention()([x, x], use_causal_mask=True).shape
        torch.Size([2, 5, 16])
    """

    scale: nn.Parameter | None
    concat_score_weight: nn.Parameter
    ndim = 3
    supports_masking = True

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.use_scale = use_scale
        self.score_mode = one_of(f"{at}.score_mode", score_mode, ("dot", "concat"))
        self.dropout = fraction(f"{at}.dropout", dropout)
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            self.add_weight("scale", (), "ones")
        else:
            self.register_parameter("scale", None)
        if self.score_mode == "concat":
            self.add_weight("concat_score_weight", (), "ones")

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """`(B, T, S)`, before the softmax."""
        if self.score_mode == "dot":
            products = query @ key.transpose(-2, -1)
            return products if self.scale is None else products * self.scale
        sums = query.unsqueeze(-2) + key.unsqueeze(-3)
        return self.concat_score_weight * (sums if self.scale is None else self.scale * sums).tanh().sum(-1)

    def call(
        self,
        inputs: Sequence[Tensor],
        mask: Sequence[Tensor | None] | None = None,
        *,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        if any(x.ndim != self.ndim for x in inputs):
            self.check_shape([tuple(x.shape) for x in inputs])
        query, value, *rest = (as_float(x) for x in inputs)
        key = rest[0] if rest else value
        keep, looked_at = (None, None) if mask is None else mask[:2]
        if looked_at is not None:
            looked_at = check_mask(looked_at, value.shape, f"{self.label}.mask[1]").unsqueeze(1)
        dropping = self.training and self.dropout > 0
        weights = None
        if return_attention_scores or dropping or self.score_mode != "dot":
            causal = causal_mask(query, key) if use_causal_mask else None
            weights = weights_of(self.scores(query, key), both(looked_at, causal))
            kept = weights
            if dropping:
                kept = weights * draws_for(self, query, self.seed).keep(tuple(weights.shape), self.dropout)
                kept = kept * (1 / (1 - self.dropout))
            output = kept @ value
        else:
            heads = (query if self.scale is None else query * self.scale, key, value)
            over_heads = None if looked_at is None else looked_at.unsqueeze(1)
            one, two, three = (x.unsqueeze(1) for x in heads)
            output = attend(one, two, three, over_heads, use_causal_mask, 1.0).squeeze(1)
        if keep is not None:
            keep = check_mask(keep, query.shape, f"{self.label}.mask[0]")
            output = output.masked_fill(~keep.unsqueeze(-1), 0.0)
        return (output, weights) if return_attention_scores else output

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        if is_shape(input_shape) or len(input_shape) not in (2, 3):
            raise ShapeError(
                f"got {'one tensor' if is_shape(input_shape) else f'a list of {len(input_shape)}'}, "
                "expected a list of query and value, or of query, value and key",
                at=self.label,
                fix=f"For self-attention write {type(self).__name__}()([x, x]).",
            )
        query, value, key = (*input_shape, input_shape[1])[:3]
        check_parts(self.label, query, key, value)
        if not _agree(query[-1], key[-1]):
            raise ShapeError(
                f"got query {show(query)} and key {show(key)}, expected one width, over which scores are sums",
                at=self.label,
            )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (*input_shape[0][:-1], input_shape[1][-1])

    def _symbolic_shape(self, input_shape: Any, kwargs: dict[str, Any]) -> Any:
        output = super()._symbolic_shape(input_shape, kwargs)
        scores = (*input_shape[0][:-1], input_shape[1][1])
        return (output, scores) if kwargs.get("return_attention_scores") else output


class AdditiveAttention(Attention):
    """Attention with the scores `sum(scale * tanh(query + key))` (Bahdanau et al., 2015, arXiv:1409.0473).

    Shapes, masks and errors as for `Attention`; `use_scale` learns a factor for each of the D features.

    Example:
        >>> AdditiveAttention()([torch.ones(2, 5, 16), torch.ones(2, 3, 16)]).shape
        torch.Size([2, 5, 16])
    """

    def __init__(
        self, use_scale: bool = True, dropout: float = 0.0, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(use_scale, "concat", dropout, seed, **options)

    def build(self, input_shape: Any) -> None:
        width = input_shape[0][-1]
        if width is None:
            raise ShapeError(f"got a query of shape {show(input_shape[0])} whose last size is free", at=self.label)
        if self.use_scale:
            self.add_weight("scale", (width,))
        else:
            self.register_parameter("scale", None)

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        sums = (query.unsqueeze(-2) + key.unsqueeze(-3)).tanh()
        return sums.sum(-1) if self.scale is None else sums @ self.scale
