"""Vectors for tokens."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.constraints import Constraint, get_constraint
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.regularizers import Regularizer, get_regularizer
from lepton_ai.layers.shapes import Shape


class Embedding(Layer):
    """A learnt vector for each of `input_dim` tokens.

    Shapes: `(B, ...)` whole numbers from 0 to `input_dim - 1` in, `(B, ..., output_dim)` out.

    Args:
        mask_zero: token 0 is padding: the layers behind get a mask, True for all other tokens.

    Raises: DataError naming a token that is out of range or no whole number.

    Example:
        >>> Embedding(1000, 64)(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 64])
    """

    weight: nn.Parameter

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: str | Initializer = "uniform",
        embeddings_regularizer: str | Regularizer | None = None,
        embeddings_constraint: str | Constraint | None = None,
        *,
        mask_zero: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.input_dim = positive_int("Embedding.input_dim", input_dim)
        self.output_dim = positive_int("Embedding.output_dim", output_dim)
        self.embeddings_initializer = get_initializer(embeddings_initializer)
        self.embeddings_regularizer = get_regularizer(embeddings_regularizer)
        self.embeddings_constraint = get_constraint(embeddings_constraint)
        self.mask_zero = self.makes_mask = mask_zero

    def build(self, input_shape: Any) -> None:
        shape = (self.input_dim, self.output_dim)
        self.add_weight(
            "weight",
            shape,
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )

    def call(self, x: Tensor) -> Tensor:
        if x.is_floating_point() and not torch.compiler.is_compiling() and bool((x != x.floor()).any()):
            raise DataError(
                at=self.label,
                message=f"got the token {x[x != x.floor()][0].item():.6g}, expected whole numbers",
                fix="Tokens count from 0; numbers that measure something go into Dense or Normalization.",
            )
        tokens = x if x.dtype in (torch.int32, torch.int64) else x.long()
        try:
            return F.embedding(tokens, self.weight)
        except IndexError as error:  # raised on CPUs only: elsewhere looking would cost more than the layer
            wrong = tokens[(tokens < 0) | (tokens >= self.input_dim)]
            raise DataError(
                at=self.label,
                message=f"got the token {wrong[0].item()}, expected 0 to {self.input_dim - 1}",
                fix="Make input_dim the largest token plus one, or map unknown tokens to one number.",
            ) from error

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True for tokens other than 0; None without `mask_zero`."""
        return inputs != 0 if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (*input_shape, self.output_dim)


class ReversibleEmbedding(Embedding):
    """An embedding whose weights also lead back: from vectors to a score for each token.

    Shapes: as `Embedding`; with `reverse=True` in the call `(B, ..., output_dim)` in, `(B, ..., input_dim)` out.

    Args:
        tie_weights: the way back uses the same weights (Press and Wolf, 2017, arXiv:1608.05859); False for its own.
        logit_soft_cap: scores are kept within plus and minus this number, by `cap * tanh(score / cap)`.

    Example:
        >>> layer = ReversibleEmbedding(100, 8)
        >>> layer(layer(torch.tensor([[1, 2, 3]])), reverse=True).shape
        torch.Size([1, 3, 100])
    """

    reverse_weight: nn.Parameter
    keras_axes = {"reverse_weight": (1, 0)}

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: str | Initializer = "uniform",
        embeddings_regularizer: str | Regularizer | None = None,
        embeddings_constraint: str | Constraint | None = None,
        mask_zero: bool = False,
        logit_soft_cap: float | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero=mask_zero,
            **options,
        )
        if logit_soft_cap is not None and not logit_soft_cap > 0:
            raise ConfigError(at="ReversibleEmbedding.logit_soft_cap", got=logit_soft_cap, expected="above 0, or None")
        self.tie_weights = tie_weights
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if not self.tie_weights:
            self.add_weight("reverse_weight", (self.input_dim, self.output_dim), self.embeddings_initializer)

    def call(self, x: Tensor, reverse: bool = False) -> Tensor:
        if not reverse:
            return super().call(x)
        if x.shape[-1] != self.output_dim:
            raise ShapeError(at=self.label, got=tuple(x.shape), expected=f"vectors of {self.output_dim} to lead back")
        scores = F.linear(x, self.weight if self.tie_weights else self.reverse_weight)
        cap = self.logit_soft_cap
        return scores if cap is None else torch.tanh(scores / cap) * cap

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Of tokens as `Embedding`; on the way back the mask of the vectors."""
        return mask if inputs.is_floating_point() else super().compute_mask(inputs, mask)

    def _symbolic_shape(self, input_shape: Any, kwargs: dict[str, Any]) -> Any:
        if kwargs.get("reverse"):
            return (*input_shape[:-1], self.input_dim)
        return super()._symbolic_shape(input_shape, kwargs)
