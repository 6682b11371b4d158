"""Vectors for tokens."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ConfigError, DataError
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.regularizers import Regularizer, get_regularizer
from lepton_ai.layers.shapes import Shape


class Embedding(Layer):
    """A learnt vector for each of `input_dim` tokens.

    Shapes: `(B, ...)` whole numbers from 0 to `input_dim - 1` in, `(B, ..., output_dim)` out. It makes no mask:
    give recurrent layers theirs, `LSTM(8)(embedded, mask=tokens != 0)`.

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
        *,
        mask_zero: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.input_dim = positive_int("Embedding.input_dim", input_dim)
        self.output_dim = positive_int("Embedding.output_dim", output_dim)
        self.embeddings_initializer = get_initializer(embeddings_initializer)
        self.embeddings_regularizer = get_regularizer(embeddings_regularizer)
        if mask_zero:
            raise ConfigError(
                "masks do not travel with tensors",
                at="Embedding.mask_zero",
                got=mask_zero,
                expected="False",
                fix="Give the mask where it is used: LSTM(8)(embedded, mask=tokens != 0).",
            )
        self.mask_zero = mask_zero

    def build(self, input_shape: Any) -> None:
        shape = (self.input_dim, self.output_dim)
        self.add_weight("weight", shape, self.embeddings_initializer, regularizer=self.embeddings_regularizer)

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

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (*input_shape, self.output_dim)
