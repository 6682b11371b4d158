"""A dense layer over any axes."""

import math
import re
from typing import Any, Unpack

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.activations import Function, get_activation
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.shapes import Shape, show

_EQUATION = re.compile(r"(\.\.\.)?([a-z]+),([a-z]+)->(\.\.\.)?([a-z]+)")


class EinsumDense(KernelLayer):
    """`activation(einsum(equation, x, kernel) + bias)`.

    Args:
        equation: of the input, the kernel and the output, such as "abc,cd->abd"; the input may begin with "...", and so
            does the output then.
        output_shape: without the batch; None for sizes that are the input's.
        bias_axes: the letters of the output that have a bias of their own, in its order; no bias if None.

    Raises: ConfigError for an equation that cannot be; ShapeError for an input that does not fit it.

    Example:
        >>> EinsumDense("abc,cde->abde", output_shape=(None, 2, 8))(torch.ones(3, 5, 16)).shape
        torch.Size([3, 5, 2, 8])
    """

    min_ndim = 2

    def __init__(
        self,
        equation: str,
        output_shape: int | tuple[int | None, ...] | None,
        activation: str | Function | None = None,
        bias_axes: str | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(**options)
        self.equation = equation
        self.output_shape = tuple(output_shape) if isinstance(output_shape, tuple | list) else (output_shape,)
        self.activation = get_activation(activation)
        self.bias_axes = bias_axes
        found = _EQUATION.fullmatch(equation.replace(" ", "")) if isinstance(equation, str) else None
        if found is None or bool(found[1]) != bool(found[4]):
            fix = 'Write three groups of letters: "abc,cd->abd".'
            raise ConfigError(at="EinsumDense.equation", got=equation, expected="input,kernel->output", fix=fix)
        self._ellipsis, self._in, self._kernel, self._out = bool(found[1]), found[2], found[3], found[5]
        for letters in (self._in, self._kernel, self._out):
            if len(set(letters)) < len(letters):
                raise ConfigError(at="EinsumDense.equation", got=equation, expected="each letter once in a group")
        unknown = set(self._out) - set(self._in) - set(self._kernel)
        if unknown:
            expected = f"letters of the input or the kernel, not {sorted(unknown)}, in the output"
            raise ConfigError(at="EinsumDense.equation", got=equation, expected=expected)
        wrong = set(bias_axes or "") - set(self._out)
        if wrong:
            raise ConfigError(at="EinsumDense.bias_axes", got=bias_axes, expected=f"letters of {self._out!r}")

    def build(self, input_shape: Any) -> None:
        known = self._sizes(input_shape)
        free = [letter for letter in self._kernel if known.get(letter) is None]
        if free:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected known sizes for {free} of {self.equation!r}",
                at=self.label,
                fix="Give them in output_shape, or fix the input's.",
            )
        # Held as a matrix, outputs first, so that initialisers see how much goes in and out of a unit.
        summed = [letter for letter in self._kernel if letter not in self._out]
        kept = [letter for letter in self._kernel if letter in self._out]
        self._stored = [known[letter] or 1 for letter in (*kept, *summed)]
        self._order = [[*kept, *summed].index(letter) for letter in self._kernel]
        rows = math.prod(known[letter] or 1 for letter in kept)
        self.add_kernel((rows, math.prod(known[letter] or 1 for letter in summed)))
        if not self.bias_axes:
            self.register_parameter("bias", None)
            return
        first = next(place for place, letter in enumerate(self._out) if letter in self.bias_axes)
        shape = [known[letter] if letter in self.bias_axes else 1 for letter in self._out[first:]]
        if None in shape:
            raise ShapeError(f"has a bias over free sizes of {self._out!r}", at=self.label)
        self.add_bias(tuple(shape))  # type: ignore[arg-type]

    def call(self, x: Tensor) -> Tensor:
        y = torch.einsum(self.equation, as_float(x, self.weight), self._to_keras("weight", self.weight))
        return self.activation(y if self.bias is None else y + self.bias)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        known = self._sizes(input_shape)
        led = tuple(input_shape[: len(input_shape) - len(self._in)]) if self._ellipsis else ()
        return (*led, *(known.get(letter) for letter in self._out))

    def _to_keras(self, name: str, value: Tensor) -> Tensor:
        return value.view(self._stored).permute(self._order) if name == "weight" else value

    def _from_keras(self, name: str, array: Tensor) -> Tensor:
        if name != "weight":
            return array
        back = [self._order.index(axis) for axis in range(len(self._order))]
        return array.permute(back).reshape(self.weight.shape)

    def _sizes(self, input_shape: Any) -> dict[str, int | None]:
        """The size of each letter."""
        rank = len(input_shape)
        if rank < len(self._in) or (rank > len(self._in) and not self._ellipsis):
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected {len(self._in)} axes for {self.equation!r}",
                at=self.label,
            )
        known = dict(zip(self._in, input_shape[rank - len(self._in) :], strict=True))
        # What is given ends where the output ends: the batch, or what "..." stands for, is not part of it.
        for letter, size in zip(reversed(self._out), reversed(self.output_shape), strict=False):
            if size is not None:
                if known.get(letter) not in (None, size):
                    message = f"output_shape {self.output_shape} does not fit an input of shape {show(input_shape)}"
                    raise ShapeError(message, at=self.label)
                known[letter] = size
        return known
