"""Where a step stands, for layers that would not know."""

from typing import Any, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import positive_int
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.embedding import Embedding
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, show


def _steps(x: Tensor, start: int, positions: Tensor | None, axis: int = 1) -> Tensor:
    """The place of each step: counted from `start`, unless given, `(T,)` or `(B, T)`."""
    return torch.arange(x.shape[axis], device=x.device) + start if positions is None else positions


def _angles(places: Tensor, features: Tensor, width: int, max_wavelength: float, like: Tensor) -> Tensor:
    """Each place times each feature's speed; in float32 at least, since half precision tells no far places apart."""
    wide = torch.promote_types(like.dtype, torch.float32)
    return places.to(wide).unsqueeze(-1) * max_wavelength ** (-features.to(wide) / width)


class SinePositionEncoding(Layer):
    """Sines and cosines of each step's place, in wavelengths from 2 pi to 2 pi * `max_wavelength`.

    Vaswani et al., 2017, section 3.5. Add it to what it was made for: `x + SinePositionEncoding()(x)`.
    Shapes: `(B, T, D)` in, the same out. The call takes `start_index`, the place of the first step, or `positions`,
    the place of each, `(T,)` or `(B, T)`.

    Raises: ConfigError if `max_wavelength` is not positive; ShapeError if D is free.

    Example:
        >>> SinePositionEncoding()(torch.ones(1, 2, 2))
        tensor([[[0.0000, 1.0000],
                 [0.8415, 0.5403]]])
    """

    ndim = 3
    supports_masking = True

    def __init__(self, max_wavelength: float = 10000, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.max_wavelength = _positive("SinePositionEncoding.max_wavelength", max_wavelength)

    def build(self, input_shape: Any) -> None:
        _width(self, input_shape)

    def call(self, inputs: Tensor, start_index: int = 0, positions: Tensor | None = None) -> Tensor:
        x = as_float(inputs)
        features = torch.arange(x.shape[-1], device=x.device)
        places = _steps(x, start_index, positions)
        angles = _angles(places, features // 2 * 2, x.shape[-1], self.max_wavelength, x)
        return torch.where(features % 2 == 0, angles.sin(), angles.cos()).to(x.dtype).expand(x.shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class PositionEmbedding(Layer):
    """A learnt vector for each place up to `sequence_length`, to be added to what it was made for.

    Gehring et al., 2017 (arXiv:1705.03122). Shapes: `(B, T, D)` in, the same out. The call takes `start_index` and
    `positions` as that of `SinePositionEncoding`.

    Raises: ConfigError if `sequence_length` is not a positive int; ShapeError for a sequence that is longer, naming
        both.

    Example:
        >>> x = torch.ones(2, 5, 8)
        >>> (x + PositionEmbedding(100)(x)).shape
        torch.Size([2, 5, 8])
    """

    weight: nn.Parameter
    ndim = 3
    supports_masking = True
    fixed_axes = (-1,)

    def __init__(
        self,
        sequence_length: int,
        initializer: str | Initializer = "glorot_uniform",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.sequence_length = positive_int("PositionEmbedding.sequence_length", sequence_length)
        self.initializer = get_initializer(initializer)

    def build(self, input_shape: Any) -> None:
        self.add_weight("weight", (self.sequence_length, _width(self, input_shape)), self.initializer)

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        self.check_steps(input_shape[1])

    def check_steps(self, steps: int | None) -> None:
        """Raise a ShapeError for a sequence that is longer than the table."""
        if steps is not None and steps > self.sequence_length:
            raise ShapeError(
                f"got a sequence of {steps} steps, expected at most sequence_length={self.sequence_length}, which are "
                "all that it knows a place for",
                at=self.label,
                fix="Cut the sequences, or make the table longer and train again.",
            )

    def call(self, inputs: Tensor, start_index: int = 0, positions: Tensor | None = None) -> Tensor:
        if not torch.compiler.is_compiling():
            last = inputs.shape[1] + start_index if positions is None else int(positions.max()) + 1
            self.check_steps(last)
        # Looked up, not cut out: a runtime then refuses a place that is beyond the table.
        return F.embedding(_steps(inputs, start_index, positions), self.weight).expand(inputs.shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class RotaryEmbedding(Layer):
    """Pairs of features turned by angles that grow with the step's place: products then depend on distances only.

    Su et al., 2021 (arXiv:2104.09864). For queries and keys. Feature i is paired with feature i + D / 2. Shapes: any
    with steps and an even number D of features in, the same out. The call takes `start_index` and `positions` as that
    of `SinePositionEncoding`.

    Args:
        scaling_factor: places are divided by it, so that longer sequences than in training fit.
        sequence_axis: which axis holds the steps.
        feature_axis: which axis holds the features.

    Raises: ConfigError for settings that are not positive; ShapeError if D is free or odd.

    Example:
        >>> RotaryEmbedding()(torch.ones(1, 2, 2))
        tensor([[[ 1.0000,  1.0000],
                 [-0.3012,  1.3818]]])
    """

    min_ndim = 3
    supports_masking = True

    def __init__(
        self,
        max_wavelength: float = 10000,
        scaling_factor: float = 1.0,
        sequence_axis: int = 1,
        feature_axis: int = -1,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.max_wavelength = _positive("RotaryEmbedding.max_wavelength", max_wavelength)
        self.scaling_factor = _positive("RotaryEmbedding.scaling_factor", scaling_factor)
        self.sequence_axis, self.feature_axis = sequence_axis, feature_axis

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        rank = len(input_shape)
        for name in ("sequence_axis", "feature_axis"):
            axis = getattr(self, name)
            if not -rank < axis < rank or axis % rank == 0:
                raise ShapeError(
                    f"got an input of shape {show(input_shape)}, which has no {name} {axis}", at=self.label
                )
        width = input_shape[self.feature_axis]
        if width is None or width % 2:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected an even number of features at axis "
                f"{self.feature_axis}",
                at=self.label,
            )

    def call(self, inputs: Tensor, start_index: int = 0, positions: Tensor | None = None) -> Tensor:
        x = as_float(inputs)
        axes = self.sequence_axis % x.ndim, self.feature_axis % x.ndim
        places = _steps(x, start_index, positions, axes[0]) / self.scaling_factor
        x = x.movedim(axes, (-2, -1))
        width = x.shape[-1]
        angles = _angles(places, torch.arange(0, width, 2, device=x.device), width, self.max_wavelength, x)
        angles = angles.repeat(*(1,) * places.ndim, 2)
        if angles.ndim == 3:  # a row of the batch has places of its own
            angles = angles.view(len(angles), *(1,) * (x.ndim - 3), *angles.shape[1:])
        first, second = x.chunk(2, -1)
        turned = x * angles.cos().to(x.dtype) + torch.cat((-second, first), -1) * angles.sin().to(x.dtype)
        return turned.movedim((-2, -1), axes)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)


class TokenAndPositionEmbedding(Layer):
    """A learnt vector for each token, plus one for its place.

    Shapes: `(B, T)` whole numbers from 0 to `vocabulary_size - 1` in, `(B, T, embedding_dim)` out. The call takes
    `start_index` and `positions` as that of `SinePositionEncoding`.

    Args:
        mask_zero: token 0 fills up short sequences: its steps are masked.

    Raises: ConfigError for impossible sizes; DataError naming a token that is out of range; ShapeError for a sequence
        longer than `sequence_length`.

    Example:
        >>> TokenAndPositionEmbedding(1000, 100, 64)(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 64])
    """

    ndim = 2
    supports_masking = True

    def __init__(
        self,
        vocabulary_size: int,
        sequence_length: int,
        embedding_dim: int,
        embeddings_initializer: str | Initializer = "uniform",
        mask_zero: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = "TokenAndPositionEmbedding"
        self.vocabulary_size = positive_int(f"{at}.vocabulary_size", vocabulary_size)
        self.sequence_length = positive_int(f"{at}.sequence_length", sequence_length)
        self.embedding_dim = positive_int(f"{at}.embedding_dim", embedding_dim)
        self.embeddings_initializer = get_initializer(embeddings_initializer)
        self.mask_zero = self.makes_mask = mask_zero

    def build(self, input_shape: Any) -> None:
        embedded = (*input_shape, self.embedding_dim)
        tokens = Embedding(self.vocabulary_size, self.embedding_dim, self.embeddings_initializer, name="tokens")
        places = PositionEmbedding(self.sequence_length, self.embeddings_initializer, name="places")
        for layer, shape in ((tokens, tuple(input_shape)), (places, embedded)):
            layer.path, layer.trainable = f"{self.path}.{layer.name}", self.trainable
            layer.ensure_built(shape)
        self.tokens, self.places = tokens, places

    def call(self, inputs: Tensor, start_index: int = 0, positions: Tensor | None = None) -> Tensor:
        embedded: Tensor = self.tokens(inputs)
        joined: Tensor = embedded + self.places(embedded, start_index, positions)
        return joined

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True for tokens other than 0, with `mask_zero`."""
        return inputs != 0 if self.mask_zero else super().compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (*input_shape, self.embedding_dim)


class FirstStep(Layer):
    """The first step of each sequence, which stands for the whole where a model was made so.

    Shapes: `(B, T, ...)` in, `(B, ...)` out.

    Example:
        >>> FirstStep()(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
        tensor([[1., 2.]])
    """

    min_ndim = 2

    def call(self, x: Tensor) -> Tensor:
        return x[:, 0]

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: no steps are left."""

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (input_shape[0], *input_shape[2:])


def _positive(at: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ConfigError(at=at, got=value, expected="a positive number")
    return value


def _width(layer: Layer, input_shape: Any) -> int:
    width: int | None = input_shape[-1]
    if width is None:
        raise ShapeError(f"got an input of shape {show(input_shape)} whose last size is free", at=layer.label)
    return width
