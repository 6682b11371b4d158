"""Several tensors into one."""

import abc
from collections.abc import Sequence
from functools import reduce
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.normalization import unit
from lepton_ai.layers.shapes import Shape, is_shape, show

_SMALLEST = 1e-7  # Keras' epsilon: the least norm to divide by


class MergeLayer(Layer, abc.ABC):
    """The base of layers that take a list of tensors."""

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.merge([as_float(x) for x in inputs])

    @abc.abstractmethod
    def merge(self, inputs: list[Tensor]) -> Tensor:
        """One tensor of several."""

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where a step of any input counts; None if one has no mask, and so counts everywhere."""
        if mask is None or any(each is None for each in mask):
            return None
        return reduce(torch.logical_or, mask)

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        if is_shape(input_shape) or len(input_shape) < 2:
            raise ShapeError(
                f"got {'one tensor' if is_shape(input_shape) else f'a list of {len(input_shape)}'}, "
                "expected a list of at least two",
                at=self.label,
                fix=f"Write {type(self).__name__}()([a, b]).",
            )
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Sizes of 1 stretch to those of the others."""
        if len({len(shape) for shape in input_shape}) > 1:
            raise self._unequal(input_shape, "as many dimensions in each")
        output: list[int | None] = []
        for sizes in zip(*input_shape, strict=True):
            known = {size for size in sizes if size is not None} - {1}
            if len(known) > 1:
                raise self._unequal(input_shape, "equal sizes, or 1")
            output.append(known.pop() if known else None if None in sizes else 1)
        return tuple(output)

    def _unequal(self, input_shape: Any, expected: str) -> ShapeError:
        shapes = ", ".join(show(shape) for shape in input_shape)
        return ShapeError(f"got inputs of shapes {shapes}, expected {expected}", at=self.label)


class Add(MergeLayer):
    """The sum, element by element.

    Shapes: a list of equal shapes (or sizes of 1, which stretch) in, that shape out.

    Raises: ShapeError naming the layer and all shapes.

    Example:
        >>> Add()([torch.ones(1, 2), torch.ones(1, 2)])
        tensor([[2., 2.]])
    """

    def merge(self, inputs: list[Tensor]) -> Tensor:
        return reduce(torch.add, inputs)


class Subtract(MergeLayer):
    """The first of two minus the second; shapes as for `Add`.

    Example:
        >>> Subtract()([torch.ones(1, 2), torch.ones(1, 2)])
        tensor([[0., 0.]])
    """

    def merge(self, inputs: list[Tensor]) -> Tensor:
        return inputs[0] - inputs[1]

    def check_shape(self, input_shape: Any) -> None:
        super().check_shape(input_shape)
        if len(input_shape) != 2:
            raise ShapeError(at=self.label, got=len(input_shape), expected="a list of two tensors")


class Multiply(MergeLayer):
    """The product, element by element; shapes as for `Add`. Steps that a factor's mask does not count are 1 in it.

    Example:
        >>> Multiply()([torch.full((1, 2), 3.0), torch.full((1, 2), 2.0)])
        tensor([[6., 6.]])
    """

    def call(self, inputs: Sequence[Tensor], mask: Sequence[Tensor | None] | None = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        pairs = zip(inputs, mask, strict=True)
        ones = [x if each is None else as_float(x).masked_fill(~_wide(each, x), 1.0) for x, each in pairs]
        product, kept = super().call(ones), self.compute_mask(inputs, mask)
        return product if kept is None else product.masked_fill(~_wide(kept, product), 0.0)

    def merge(self, inputs: list[Tensor]) -> Tensor:
        return reduce(torch.mul, inputs)


class Average(MergeLayer):
    """The mean, element by element; shapes as for `Add`.

    Example:
        >>> Average()([torch.zeros(1, 2), torch.ones(1, 2)])
        tensor([[0.5000, 0.5000]])
    """

    def merge(self, inputs: list[Tensor]) -> Tensor:
        return reduce(torch.add, inputs) / len(inputs)


class Extremum(MergeLayer):
    """The base of merges that pick one of the elements; where masks say which steps count, one that counts."""

    def call(self, inputs: Sequence[Tensor], mask: Sequence[Tensor | None] | None = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        best, counts = as_float(inputs[0]), mask[0]
        for x, each in zip(inputs[1:], mask[1:], strict=True):
            other = as_float(x) if each is None else torch.where(_wide(each, x), as_float(x), best)
            best = self.merge([best if counts is None else torch.where(_wide(counts, best), best, other), other])
            counts = None if counts is None or each is None else counts | each
        return best


class Maximum(Extremum):
    """The largest, element by element; shapes as for `Add`. Of steps that masks do not count, none is picked.

    Example:
        >>> Maximum()([torch.zeros(1, 2), torch.ones(1, 2)])
        tensor([[1., 1.]])
    """

    def merge(self, inputs: list[Tensor]) -> Tensor:
        return reduce(torch.maximum, inputs)


class Minimum(Extremum):
    """The smallest, element by element; shapes as for `Add`. Of steps that masks do not count, none is picked.

    Example:
        >>> Minimum()([torch.zeros(1, 2), torch.ones(1, 2)])
        tensor([[0., 0.]])
    """

    def merge(self, inputs: list[Tensor]) -> Tensor:
        return reduce(torch.minimum, inputs)


class Concatenate(MergeLayer):
    """The tensors one after the other along `axis`.

    Shapes: a list of shapes that are equal but for `axis` in; the sizes there add up.

    Raises: ShapeError naming the layer and all shapes.

    Example:
        >>> Concatenate()([torch.ones(2, 3), torch.ones(2, 4)]).shape
        torch.Size([2, 7])
    """

    min_ndim = 2

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            raise ConfigError(at="Concatenate.axis", got=axis, expected="an int other than 0, the batch")
        self.axis = axis

    def merge(self, inputs: list[Tensor]) -> Tensor:
        return torch.cat(inputs, self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks one after the other along `axis`; along the last, True where a step of any input counts."""
        if mask is None:
            return None
        masks = []
        for x, each in zip(inputs, mask, strict=True):
            if each is None:
                masks.append(torch.ones_like(x, dtype=torch.bool))
            else:
                masks.append(_wide(each, x).expand_as(x))
        return torch.cat(masks, self.axis).any(-1)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        rank = len(input_shape[0])
        if any(len(shape) != rank for shape in input_shape) or not -rank <= self.axis < rank:
            raise self._unequal(input_shape, f"as many dimensions in each, with an axis {self.axis}")
        output: list[int | None] = []
        for at, sizes in enumerate(zip(*input_shape, strict=True)):
            if at == self.axis % rank:
                output.append(None if None in sizes else sum(sizes))
                continue
            known = {size for size in sizes if size is not None}
            if len(known) > 1:
                raise self._unequal(input_shape, f"sizes that differ at axis {self.axis} only")
            output.append(known.pop() if known else None)
        return tuple(output)


class Dot(MergeLayer):
    """The products of two tensors, summed along an axis of each.

    Shapes: `(B, ..., K, ...)` and `(B, ..., K, ...)` in, K at `axes`; `(B, *rest of the first, *rest of the second)`
    out, or `(B, 1)` if there is no rest.

    Args:
        axes: one axis for both, or one for each.
        normalize: divide by the norms along the axes before; the answer is the cosine.

    Raises: ConfigError for impossible axes; ShapeError naming the layer and both shapes.

    Example:
        >>> Dot(axes=(1, 2))([torch.ones(2, 3, 5), torch.ones(2, 10, 3)]).shape
        torch.Size([2, 5, 10])
    """

    min_ndim = 2

    def __init__(self, axes: int | tuple[int, int], normalize: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        both = tuple(axes) if isinstance(axes, tuple | list) else (axes, axes)
        if len(both) != 2 or not all(isinstance(axis, int) and axis and not isinstance(axis, bool) for axis in both):
            raise ConfigError(at="Dot.axes", got=axes, expected="one or two axes other than 0, the batch")
        self.axes = axes
        self.normalize = normalize
        self._both = both

    def merge(self, inputs: list[Tensor]) -> Tensor:
        first, second = (x.movedim(axis, -1) for x, axis in zip(inputs, self._both, strict=True))
        if self.normalize:
            first, second = unit(first, (-1,), _SMALLEST), unit(second, (-1,), _SMALLEST)
        rest = (*first.shape[1:-1], *second.shape[1:-1])
        rows, columns = (x.flatten(1, -2) if x.ndim > 2 else x.unsqueeze(1) for x in (first, second))
        return (rows @ columns.mT).reshape(rows.shape[0], *rest or (1,))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """None: the answer has no steps."""
        return

    def compute_output_shape(self, input_shape: Any) -> Shape:
        if len(input_shape) != 2:
            raise ShapeError(at=self.label, got=len(input_shape), expected="a list of two tensors")
        rests, summed = [], []
        for shape, axis in zip(input_shape, self._both, strict=True):
            if not -len(shape) < axis < len(shape):
                raise self._unequal(input_shape, f"axes {self._both} in them")
            rest = list(shape)
            summed.append(rest.pop(axis))
            rests += rest[1:]
        if len({size for size in summed if size is not None}) > 1:
            raise self._unequal(input_shape, f"equal sizes at the axes {self._both}")
        return (input_shape[0][0], *(rests or (1,)))


def _wide(mask: Tensor, x: Tensor) -> Tensor:
    """A mask with axes of size 1 at its end, as many as `x` has more."""
    return mask.reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))
