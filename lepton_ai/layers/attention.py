"""Attention."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from lepton_ai.core import ShapeError
from lepton_ai.layers.arguments import fraction, positive_int, sizes
from lepton_ai.layers.dense import Dense
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.random import draws_for
from lepton_ai.layers.shapes import Shape, is_shape, show


class _Heads(Dense):
    """A projection into heads, or out of them. Keras keeps its kernel as (D, heads, size), or (heads, size, D)."""

    def __init__(self, units: int, heads: int, outwards: bool = False, **options: Unpack[KernelOptions]) -> None:
        super().__init__(units, **options)
        self.heads = heads
        self.outwards = outwards

    def _to_keras(self, name: str, value: Tensor) -> Tensor:
        if self.outwards:
            return value.view(len(value), self.heads, -1).permute(1, 2, 0) if name == "weight" else value
        value = value.view(self.heads, -1, *value.shape[1:])
        return value.permute(2, 0, 1) if name == "weight" else value

    def _from_keras(self, name: str, array: Tensor) -> Tensor:
        if self.outwards:
            return array.flatten(0, 1).T if name == "weight" else array
        return array.flatten(1).T if name == "weight" else array.flatten()


class MultiHeadAttention(KernelLayer):
    """Scaled dot-product attention in several heads (Vaswani et al., 2017, arXiv:1706.03762).

    Shapes: query `(B, T, D)`, value `(B, S, V)` and key `(B, S, K)` (the value unless given) in; `(B, T, O)` out,
    where O is `output_shape`, or D. For the options see `KernelLayer`; the fans of the kernels are those of the
    maps from D to heads * size and back.

    Args:
        key_dim: size of each head's query and key.
        value_dim: size of each head's value; `key_dim` unless given.
        dropout: share of the attention zeroed in training.

    The call takes `attention_mask` (boolean, `(B, T, S)` or what stretches to it, True where attention may go),
    `use_causal_mask` (only to places up to the query's own) and `return_attention_scores` (then the answer is a pair
    with the scores `(B, heads, T, S)`). A query that may look nowhere gets attention 0.

    Raises: ConfigError for impossible sizes; ShapeError naming the layer.

    Example:
        >>> x = torch.ones(2, 5, 16)
        >>> MultiHeadAttention(num_heads=4, key_dim=8)(x, x, use_causal_mask=True).shape
        torch.Size([2, 5, 16])
    """

    ndim = 3

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        *,
        output_shape: int | tuple[int] | None = None,
        seed: int | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(**options)
        self.num_heads = positive_int("MultiHeadAttention.num_heads", num_heads)
        self.key_dim = positive_int("MultiHeadAttention.key_dim", key_dim)
        self.value_dim = None if value_dim is None else positive_int("MultiHeadAttention.value_dim", value_dim)
        self.dropout = fraction("MultiHeadAttention.dropout", dropout)
        self.output_shape = None if output_shape is None else sizes("MultiHeadAttention.output_shape", output_shape, 1)
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        query, key, value = self._split(input_shape)
        keys, values = self.num_heads * self.key_dim, self.num_heads * (self.value_dim or self.key_dim)
        self.query = self._projection("query", keys, query)
        self.key = self._projection("key", keys, key)
        self.value = self._projection("value", values, value)
        width = self._width(query)
        self.output = self._projection("output", width, (*query[:-1], values), outwards=True)

    def _projection(self, name: str, units: int, input_shape: Shape, outwards: bool = False) -> _Heads:
        layer = _Heads(
            units,
            self.num_heads,
            outwards,
            name=name,
            trainable=self.trainable,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
        )
        layer.path = f"{self.path}.{name}"
        layer.ensure_built(input_shape)
        return layer

    def forward(self, query: Any, value: Any = None, key: Any = None, **kwargs: Any) -> Any:
        """As `Layer.forward`; query, value and key may be given by name."""
        if value is None:
            raise ShapeError("got a query and no value", at=self.label, fix="For self-attention write attention(x, x).")
        return super().forward(query, value, *(() if key is None else (key,)), **kwargs)

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
    ) -> Any:
        queries = self._heads(self.query(query))
        keys = self._heads(self.key(value if key is None else key))
        values = self._heads(self.value(value))
        mask = None if attention_mask is None else self._mask(attention_mask, query, value)
        dropping = self.training and self.dropout > 0
        if return_attention_scores or dropping:
            scores = self._scores(queries, keys, mask, use_causal_mask)
            attended = scores
            if dropping:
                keep = draws_for(self, query, self.seed).keep(tuple(scores.shape), self.dropout)
                attended = scores * keep * (1 / (1 - self.dropout))
            output = self._join(attended @ values)
            return (output, scores) if return_attention_scores else output
        causal = use_causal_mask and mask is None
        if use_causal_mask and mask is not None:
            mask = mask & _causal(queries, keys)
        return self._join(F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=causal))

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, heads * size) to (B, heads, T, size)."""
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        joined: Tensor = self.output(x.transpose(1, 2).flatten(2))
        return joined

    def _scores(self, queries: Tensor, keys: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        products: Tensor = queries @ keys.transpose(-2, -1) * self.key_dim**-0.5
        if causal:
            mask = _causal(queries, keys) if mask is None else mask & _causal(queries, keys)
        if mask is None:
            return products.softmax(-1)
        # The least number, not infinity: a row that may look nowhere would give NaN.
        scores = products.masked_fill(~mask, torch.finfo(products.dtype).min).softmax(-1)
        return scores.masked_fill(~mask, 0.0)

    def _mask(self, mask: Tensor, query: Tensor, value: Tensor) -> Tensor:
        wanted = (query.shape[0], query.shape[1], value.shape[1])
        if mask.ndim != 3 or any(got not in (1, size) for got, size in zip(mask.shape, wanted, strict=True)):
            raise ShapeError(
                f"got an attention_mask of shape {show(tuple(mask.shape))}, expected {show(wanted)}", at=self.label
            )
        return mask.bool().unsqueeze(1)

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        query, key, value = self._split(input_shape)
        if not _agree(query[0], value[0]) or not _agree(key[0], value[0]) or not _agree(key[1], value[1]):
            raise ShapeError(
                f"got query {show(query)}, value {show(value)} and key {show(key)}, expected one batch size, "
                "and a key for each value",
                at=self.label,
            )

    def _split(self, input_shape: Any) -> tuple[Shape, Shape, Shape]:
        """The shapes of query, key and value."""
        if is_shape(input_shape):
            raise ShapeError("got one input, expected a query and a value", at=self.label)
        query, value, *key = input_shape
        return query, key[0] if key else value, value

    def compute_output_shape(self, input_shape: Any) -> Shape:
        query = self._split(input_shape)[0]
        return (*query[:-1], self._width(query))

    def _width(self, query: Shape) -> Any:
        return self.output_shape[0] if self.output_shape else query[-1]

    def _symbolic_shape(self, input_shape: Any, kwargs: dict[str, Any]) -> Any:
        output = super()._symbolic_shape(input_shape, kwargs)
        if not kwargs.get("return_attention_scores"):
            return output
        query, _, value = self._split(input_shape)
        return output, (query[0], self.num_heads, query[1], value[1])


def _causal(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.ones(queries.shape[-2], keys.shape[-2], dtype=torch.bool, device=queries.device).tril()


def _agree(first: int | None, second: int | None) -> bool:
    return first is None or second is None or first == second
