"""What all recurrent layers share: masks, direction, states, and the loop over steps."""

import abc
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.masks import check_mask
from lepton_ai.layers.shapes import Shape, leaves, show

Step = Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]
"""From one step of the inputs `(B, ...)` and the states before it, the output and the states after it."""


class SequenceOptions(LayerOptions, total=False):
    """What the constructors of recurrent layers take besides those of their step."""

    return_sequences: bool
    return_state: bool
    go_backwards: bool
    zero_output_for_mask: bool
    stateful: bool


class SequenceLayer(Layer, abc.ABC):
    """The base of recurrent layers over `(B, T, ...)`.

    Args:
        return_sequences: give the output of every step, `(B, T, ...)`, not only the last, `(B, ...)`.
        return_state: give the final states too, as `initial_state` takes them.
        go_backwards: read from the last step to the first; the outputs come in that order.
        zero_output_for_mask: outputs of steps that do not count are 0.
        stateful: no: states are given and returned, so that calls do not depend on the ones before.

    The call takes `initial_state` and a `mask`, boolean `(B, T)`, True for steps that count: the others are passed
    over, wherever they stand, and repeat the output before them (0 before the first that counts).
    """

    def __init__(
        self,
        *step: Any,  # these and the options are for the base that computes a step
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        zero_output_for_mask: bool = False,
        stateful: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*step, **options)
        if stateful:
            raise ConfigError(
                at=f"{type(self).__name__}.stateful",
                got=stateful,
                expected="False",
                fix="Write return_state=True, and give the states to the next call as initial_state.",
            )
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.zero_output_for_mask = zero_output_for_mask
        self.stateful = stateful

    @abc.abstractmethod
    def run(self, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Outputs `(B, T, ...)` and final states; steps with True in `padded` `(B, T)`, the last ones of their
        row, do not change the states, and their outputs are never looked at."""

    @abc.abstractmethod
    def state_shapes(self, input_shape: Any) -> list[Shape]:
        """The shapes of the states, for inputs of a shape."""

    def step_shape(self, input_shape: Any) -> Shape:
        """The shape of one step's output, batch included."""
        return self.state_shapes(input_shape)[0]

    def prepare(self, x: Tensor) -> Tensor:
        """The inputs as the steps see them."""
        return as_float(x)

    def call(self, x: Tensor, *, mask: Tensor | None = None, initial_state: Any = None) -> Any:
        self.check_shape(tuple(x.shape))  # oneDNN's kernel would read on beyond a width that does not fit
        if not torch.compiler.is_compiling() and x.shape[1] == 0:
            raise ShapeError(
                f"got sequences of 0 steps, shape {show(tuple(x.shape))}, expected one at least", at=self.label
            )
        x = self.prepare(x)
        states = self._initial(x, initial_state)
        if mask is not None:
            mask = check_mask(mask, x.shape, self.label)
        if self.go_backwards:
            x, mask = x.flip(1), None if mask is None else mask.flip(1)
        if mask is None:
            outputs, states = self.run(x, states, None)
            output = outputs if self.return_sequences else outputs[:, -1]
        else:
            output, states = self._run_masked(x, states, mask)
        return (output, *states) if self.return_state else output

    def _run_masked(self, x: Tensor, states: list[Tensor], mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The steps that count move to the front of their row, are run, and their outputs go where they came from."""
        counted = mask.long().cumsum(1)
        lengths = counted[:, -1:]
        steps = torch.arange(mask.shape[1], device=mask.device)
        tracing = torch.compiler.is_compiling()
        if tracing or not bool((mask == (steps < lengths)).all()):
            x = take(x, _places(mask, counted, steps))
        if not tracing:  # what is padding in all rows need not be run
            x = x[:, : max(1, int(lengths.max()))]
        outputs, states = self.run(x, states, steps[: x.shape[1]] >= lengths)
        index = counted - 1 if self.return_sequences else lengths - 1
        output = take(outputs, index.clamp(min=0)).masked_fill(_like(index < 0, outputs), 0)
        if self.zero_output_for_mask:
            output = output.masked_fill(_like(~(mask if self.return_sequences else mask[:, -1:]), outputs), 0)
        return (output if self.return_sequences else output[:, 0]), states

    def _initial(self, x: Tensor, given: Any) -> list[Tensor]:
        shapes = self.state_shapes(tuple(x.shape))
        if given is None:
            return [x.new_zeros(shape) for shape in shapes]  # type: ignore[arg-type]  # none is free here
        states = list(leaves(given, _is_tensor))
        got = [tuple(state.shape) for state in states]
        if got != shapes:
            wanted = show(shapes[0]) if len(set(shapes)) == 1 else ", ".join(show(shape) for shape in shapes)
            raise ShapeError(at=f"{self.label}.initial_state", got=got, expected=f"{len(shapes)} of {wanted}")
        return states

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """With `return_sequences` that of the inputs; else there are no steps left."""
        output = mask if self.return_sequences else None
        return [output, *[None] * len(self.state_shapes(tuple(inputs.shape)))] if self.return_state else output

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, *step = self.step_shape(input_shape)
        output = (batch, input_shape[1], *step) if self.return_sequences else (batch, *step)
        return (output, *self.state_shapes(input_shape)) if self.return_state else output


def unroll(step: Step, x: Tensor, states: list[Tensor], padded: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    """`step` over the steps of `x`, `(B, T, ...)`; for the rest see `SequenceLayer.run`.

    While a graph is exported it is one operator, so that the number of steps stays free.
    """

    def guarded(each: Tensor, before: list[Tensor], past: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        output, after = step(each, before)
        if past is not None:
            after = [torch.where(_like(past, old), old, new) for old, new in zip(before, after, strict=True)]
        return output, after

    if torch.compiler.is_exporting():
        return _scanned(guarded, x, states, padded)
    outputs = []
    for at in range(x.shape[1]):
        output, states = guarded(x[:, at], states, None if padded is None else padded[:, at])
        outputs.append(output)
    return torch.stack(outputs, 1), states


def _scanned(
    step: Callable[[Tensor, list[Tensor], Tensor | None], tuple[Tensor, list[Tensor]]],
    x: Tensor,
    states: list[Tensor],
    padded: Tensor | None,
) -> tuple[Tensor, list[Tensor]]:
    inputs = [x.transpose(0, 1)] + ([] if padded is None else [padded.transpose(0, 1)])

    def one(before: list[Tensor], given: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        output, after = step(given[0], before, given[1] if len(given) > 1 else None)
        # Copies, since what comes in may not be what goes out; and all in memory as torch wants them.
        return [_copied(each) for each in after], _copied(output)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch asks tensors inside for gradients, and warns of itself
        final, outputs = scan(one, [_copied(state) for state in states], inputs)
    return outputs.transpose(0, 1), list(final)


def take(x: Tensor, index: Tensor) -> Tensor:
    """The steps `index` `(B, N)` of `x` `(B, T, ...)`, each row its own."""
    return x.gather(1, _like(index, x).expand(-1, -1, *x.shape[2:]))


def _places(mask: Tensor, counted: Tensor, steps: Tensor) -> Tensor:
    """For each row the places of the steps that count, in order; beyond them, anything that is a place."""
    rows, length = mask.shape
    target = torch.where(mask, counted - 1, length)  # the others share a place that is cut off
    places = torch.zeros(rows, length + 1, dtype=torch.int64, device=mask.device)
    return places.scatter(1, target, steps.expand(rows, -1))[:, :-1]


def _like(narrow: Tensor, wide: Tensor) -> Tensor:
    """`narrow` with axes of size 1 at its end, as many as it has fewer than `wide`."""
    return narrow[(..., *(None,) * (wide.ndim - narrow.ndim))]


def _copied(x: Tensor) -> Tensor:
    return x.clone(memory_format=torch.contiguous_format)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)
