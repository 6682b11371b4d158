"""Blocks of the Transformer (Vaswani et al., 2017, arXiv:1706.03762)."""

import abc
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, Unpack

from torch import Tensor

from lepton_ai.core import ShapeError, UsageError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.arguments import fraction, positive_int
from lepton_ai.layers.attention import both
from lepton_ai.layers.dense import Dense
from lepton_ai.layers.dropout import Dropout
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.heads import MultiHeadAttention
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.masks import check_mask
from lepton_ai.layers.normalization import LayerNormalization
from lepton_ai.layers.shapes import Shape, is_shape, show

Part = TypeVar("Part", bound=Layer)


class BlockOptions(LayerOptions, total=False):
    """What the constructors of Transformer blocks take besides their sizes."""

    dropout: float
    activation: str | Function | None
    layer_norm_epsilon: float
    kernel_initializer: str | Initializer
    bias_initializer: str | Initializer
    normalize_first: bool


class _Kernels(TypedDict):
    kernel_initializer: Initializer
    bias_initializer: Initializer


class TransformerBlock(Layer, abc.ABC):
    """The base of Transformer blocks over `(B, T, D)`: attention and a network of two layers, step by step.

    The input passes around each of them and is normalised where they join, or, with `normalize_first`, before each
    (Xiong et al., 2020, arXiv:2002.04745).

    Args:
        intermediate_dim: units of the inner of the two layers.
        num_heads: of attention, a divisor of D; each has size D / `num_heads`.
        dropout: share zeroed in training of what joins, and of the attention.
        activation: of the inner layer.
    """

    ndim = 3
    supports_masking = True
    fixed_axes = (-1,)

    def __init__(
        self,
        intermediate_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        activation: str | Function | None = "relu",
        layer_norm_epsilon: float = 1e-5,
        kernel_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        normalize_first: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = type(self).__name__
        self.intermediate_dim = positive_int(f"{at}.intermediate_dim", intermediate_dim)
        self.num_heads = positive_int(f"{at}.num_heads", num_heads)
        self.dropout = fraction(f"{at}.dropout", dropout)
        self.activation = get_activation(activation)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.normalize_first = normalize_first

    def add_part(self, layer: Part, *input_shape: Shape) -> Part:
        """A layer inside this one, built for inputs of these shapes."""
        layer.path = f"{self.path}.{layer.name}"
        layer.trainable = self.trainable
        layer.ensure_built(input_shape[0] if len(input_shape) == 1 else input_shape)
        return layer

    def add_attention(self, name: str, query: Shape, value: Shape) -> MultiHeadAttention:
        """Attention whose heads share the width."""
        width: Any = query[-1]
        layer = MultiHeadAttention(
            self.num_heads, width // self.num_heads, dropout=self.dropout, name=name, **self._kernels()
        )
        return self.add_part(layer, query, value)

    def add_norm(self, name: str, input_shape: Shape) -> LayerNormalization:
        """A normalisation of each step."""
        return self.add_part(LayerNormalization(epsilon=self.layer_norm_epsilon, name=name), input_shape)

    def add_network(self, input_shape: Shape) -> None:
        """Make the two layers behind attention, and what they share with it."""
        width: Any = input_shape[-1]
        inside = (*input_shape[:-1], self.intermediate_dim)
        self.inner = self.add_part(
            Dense(self.intermediate_dim, self.activation, name="inner", **self._kernels()), input_shape
        )
        self.outer = self.add_part(Dense(width, name="outer", **self._kernels()), inside)
        self.network_norm = self.add_norm("network_norm", input_shape)
        self.network_dropout = self.add_part(Dropout(self.dropout, name="network_dropout"), input_shape)

    def _kernels(self) -> _Kernels:
        return {"kernel_initializer": self.kernel_initializer, "bias_initializer": self.bias_initializer}

    def network(self, x: Tensor) -> Tensor:
        """The two layers, and what passes around them."""
        return self.around(
            x,
            self.network_norm,
            lambda y: self.network_dropout(self.outer(self.inner(y))),
        )

    def around(self, x: Tensor, norm: LayerNormalization, change: Callable[[Tensor], Tensor]) -> Tensor:
        """`x` and its change, normalised as this block does."""
        joined: Tensor = x + change(norm(x)) if self.normalize_first else norm(x + change(x))
        return joined

    def steps_that_count(self, x: Tensor, padding_mask: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """What the caller says of the steps of `x`, and the layers before."""
        given = None if padding_mask is None else check_mask(padding_mask, x.shape, f"{self.label}.padding_mask")
        return both(given, None if mask is None else check_mask(mask, x.shape, self.label))

    def check_width(self, input_shape: Shape) -> None:
        """Raise a ShapeError unless the heads can share the width."""
        width = input_shape[-1]
        if width is None or width % self.num_heads:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected a width that is a multiple of "
                f"num_heads={self.num_heads}",
                at=self.label,
            )


class TransformerEncoder(TransformerBlock):
    """A block in which each step attends to all.

    Shapes: `(B, T, D)` in, the same out. For the options see `TransformerBlock`.

    The call takes `padding_mask` (boolean `(B, T)`, False for steps that nobody attends to; `mask` means the same,
    and where both are given both hold), `attention_mask` (boolean `(B, T, T)`, True where attention may go) and
    `return_attention_scores` (then the answer is a pair with the scores `(B, heads, T, T)`).

    Raises: ConfigError for impossible sizes; ShapeError if D is no multiple of `num_heads`.

    Example:
        >>> import torch
        >>> TransformerEncoder(64, num_heads=4)(torch.ones(2, 5, 16)).shape
        torch.Size([2, 5, 16])
    """

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        self.check_width(input_shape)

    def build(self, input_shape: Any) -> None:
        self.attention = self.add_attention("attention", input_shape, input_shape)
        self.attention_norm = self.add_norm("attention_norm", input_shape)
        self.attention_dropout = self.add_part(Dropout(self.dropout, name="attention_dropout"), input_shape)
        self.add_network(input_shape)

    def call(
        self,
        inputs: Tensor,
        *,
        padding_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        mask: Tensor | None = None,
        return_attention_scores: bool = False,
    ) -> Any:
        x = as_float(inputs, self.inner.weight)
        keep = self.steps_that_count(x, padding_mask, mask)
        scores: list[Tensor] = []

        def look(y: Tensor) -> Tensor:
            seen = self.attention(
                y,
                y,
                value_mask=keep,
                attention_mask=attention_mask,
                return_attention_scores=return_attention_scores,
            )
            if return_attention_scores:
                seen, weights = seen
                scores.append(weights)
            looked: Tensor = self.attention_dropout(seen)
            return looked

        output = self.network(self.around(x, self.attention_norm, look))
        return (output, scores[0]) if return_attention_scores else output

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def _symbolic_shape(self, input_shape: Any, kwargs: dict[str, Any]) -> Any:
        batch, steps, _ = input_shape
        if not kwargs.get("return_attention_scores"):
            return tuple(input_shape)
        return tuple(input_shape), (batch, self.num_heads, steps, steps)


class TransformerDecoder(TransformerBlock):
    """A block in which each step attends to those up to itself, and to an encoder's output if there is one.

    Shapes: a sequence `(B, T, D)`, or that and an encoder's output `(B, S, E)`, in; `(B, T, D)` out. For the options
    see `TransformerBlock`.

    The call takes `decoder_padding_mask` and `encoder_padding_mask` (booleans `(B, T)` and `(B, S)`, False for steps
    that nobody attends to; the masks of the inputs, `decoder_sequence_mask` and `encoder_sequence_mask`, mean the
    same), `decoder_attention_mask` `(B, T, T)` and `encoder_attention_mask` `(B, T, S)` (booleans,
    True where attention may go), and `use_causal_mask` (False: the sequence attends to all of itself).

    Raises: ConfigError for impossible sizes; ShapeError if D is no multiple of `num_heads`; UsageError if an
        encoder's output comes although there was none when the weights were made, or the other way round.

    Example:
        >>> import torch
        >>> TransformerDecoder(64, num_heads=4)(torch.ones(2, 5, 16), torch.ones(2, 3, 8)).shape
        torch.Size([2, 5, 16])
    """

    def check_shape(self, input_shape: Any) -> None:
        sequence = input_shape if is_shape(input_shape) else input_shape[0]
        super().check_shape(input_shape)
        self.check_width(sequence)
        if not is_shape(input_shape):
            encoded = input_shape[1]
            if None not in (sequence[0], encoded[0]) and sequence[0] != encoded[0]:
                raise ShapeError(
                    f"got a sequence {show(sequence)} and an encoder's output {show(encoded)}, expected one batch size",
                    at=self.label,
                )

    def build(self, input_shape: Any) -> None:
        sequence = input_shape if is_shape(input_shape) else input_shape[0]
        self.self_attention = self.add_attention("self_attention", sequence, sequence)
        self.self_attention_norm = self.add_norm("self_attention_norm", sequence)
        self.self_attention_dropout = self.add_part(Dropout(self.dropout, name="self_attention_dropout"), sequence)
        self.crosses = not is_shape(input_shape)
        if self.crosses:
            self.cross_attention = self.add_attention("cross_attention", sequence, input_shape[1])
            self.cross_attention_norm = self.add_norm("cross_attention_norm", sequence)
            self.cross_attention_dropout = self.add_part(
                Dropout(self.dropout, name="cross_attention_dropout"), sequence
            )
        self.add_network(sequence)

    def call(
        self,
        decoder_sequence: Tensor,
        encoder_sequence: Tensor | None = None,
        *,
        decoder_padding_mask: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_padding_mask: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        use_causal_mask: bool = True,
        decoder_sequence_mask: Tensor | None = None,
        encoder_sequence_mask: Tensor | None = None,
    ) -> Tensor:
        if self.crosses != (encoder_sequence is not None):
            made = "with an encoder's output" if self.crosses else "without an encoder's output"
            raise UsageError(
                f"its weights were made {made}", at=self.label, fix="Call it with the same inputs each time."
            )
        x = as_float(decoder_sequence, self.inner.weight)
        own = self.steps_that_count(x, decoder_padding_mask, decoder_sequence_mask)
        others = None
        if encoder_sequence is not None:
            others = self.steps_that_count(encoder_sequence, encoder_padding_mask, encoder_sequence_mask)

        def look_back(y: Tensor) -> Tensor:
            seen: Tensor = self.self_attention(
                y,
                y,
                value_mask=own,
                attention_mask=decoder_attention_mask,
                use_causal_mask=use_causal_mask,
            )
            looked: Tensor = self.self_attention_dropout(seen)
            return looked

        def look_across(y: Tensor) -> Tensor:
            seen: Tensor = self.cross_attention(
                y, encoder_sequence, value_mask=others, attention_mask=encoder_attention_mask
            )
            looked: Tensor = self.cross_attention_dropout(seen)
            return looked

        x = self.around(x, self.self_attention_norm, look_back)
        if encoder_sequence is not None:
            x = self.around(x, self.cross_attention_norm, look_across)
        return self.network(x)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape) if is_shape(input_shape) else tuple(input_shape[0])
