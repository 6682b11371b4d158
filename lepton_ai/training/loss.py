"""The base of the losses, and what they share: alignment of targets, the mean per sample, the errors."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from lepton_ai.core import DataError, ShapeError
from lepton_ai.training.component import Component

Shape = Sequence[int | None]


class Loss(Component):
    """One value per sample, `(B,)`: the mean over all axes behind the first. Smaller is better.

    A loss never reduces over the batch. The loop sums the (weighted) values and divides by one number for the whole
    global batch; only so do micro-batches (accumulation) and shards (distribution) add up to the same gradient.
    """

    pairs_rows: ClassVar[bool] = False
    """Whether a row's value depends on the rows beside it, and so on how many workers share a batch."""

    def __init__(self, *, name: str | None = None) -> None:
        self._name = name

    @abstractmethod
    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        """The loss of each sample, `(B,)`, in float32 or wider."""

    def check(self, target: Tensor, output_shape: Shape) -> None:
        """Refuse targets that do not fit; called once per fit with all targets, or with the first batch.

        `output_shape` begins with the batch axis, whose size is not compared; None is any size.

        Raises: ShapeError, DataError, with what to write instead.
        """
        self.check_finite(target)

    def check_outputs(self, output: Tensor) -> None:
        """Refuse outputs of the model that this loss cannot mean; called with its first ones.

        Raises: ConfigError, with what to write instead.
        """
        return

    def weight(self, target: Tensor) -> Tensor | None:
        """How much of each sample counts, `(B,)` in [0, 1], or None where all of it does.

        A mean over the elements that count is `sum(values * weight) / sum(weight)`. Only losses that ignore some
        elements have one.
        """
        return None

    def check_finite(self, target: Tensor) -> None:
        """Refuse NaN and infinity among the targets."""
        if target.is_floating_point():
            self.refuse_rows(
                target,
                ~torch.isfinite(target),
                "targets hold NaN or infinity",
                "Drop these rows or fill in their targets.",
            )

    def check_elementwise(self, target: Tensor, output_shape: Shape, fix: str) -> None:
        """Refuse targets that do not pair with the outputs one to one, but for a last axis of size one."""
        shape, expected = tuple(target.shape[1:]), tuple(output_shape[1:])
        if not any(same(a, b) for a in {shape, without_one(shape)} for b in {expected, without_one(expected)}):
            raise self.mismatch(target.shape, output_shape, fix)

    def refuse_rows(self, target: Tensor, bad: Tensor, message: str, fix: str) -> None:
        """Raise DataError naming the first row of `target` where `bad` is true, and its first bad value."""
        if not bool(bad.any()):
            return
        row = int(bad.nonzero()[0, 0])
        value = target[row][bad[row]].flatten()[0].item()
        raise DataError(f"{message}: {value} at row {row}", at=self.name, fix=fix)

    def mismatch(self, target_shape: Shape, output_shape: Shape, fix: str) -> ShapeError:
        """The error for targets and outputs that do not fit, with both shapes in it."""
        return ShapeError(
            f"targets of shape {shown(target_shape)} do not fit outputs of shape {shown(output_shape)}",
            at=self.name,
            fix=fix,
        )


def shown(shape: Shape) -> str:
    """A shape for people, the batch axis by its name.

    Example:
        >>> shown((8, 3)), shown((None,))
        ('(batch, 3)', '(batch,)')
    """
    sizes = ["batch", *("any" if size is None else str(size) for size in shape[1:])]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def same(shape: Shape, expected: Shape) -> bool:
    """Whether two shapes without batch axis agree; None agrees with any size."""
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected, strict=True)
    )


def without_one(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The shape without its last axis if that has size one."""
    return shape[:-1] if shape and shape[-1] == 1 else shape


def full_precision(output: Tensor) -> Tensor:
    """float16 and bfloat16 as float32: a loss is a sum of small numbers."""
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def aligned(target: Tensor, output: Tensor) -> Tensor:
    """`target` in the dtype and shape of `output`, where a last axis of size one may be missing in either.

    Raises: ShapeError instead of broadcasting, which would compare every sample with every other.
    """
    if target.shape != output.shape:
        sizes = tuple(target.shape[1:]), tuple(output.shape[1:])
        if target.shape[:1] != output.shape[:1] or without_one(sizes[0]) != without_one(sizes[1]):
            raise ShapeError(
                f"targets of shape {tuple(target.shape)} do not fit outputs of shape {tuple(output.shape)}",
                fix="Give targets of the outputs' shape, or change the units of the last layer.",
            )
        target = target.reshape(output.shape)
    return target.to(output.dtype)


def per_sample(values: Tensor) -> Tensor:
    """The mean over all axes behind the first, `(B,)`."""
    if values.ndim < 2:
        return values
    return values.squeeze(1) if values.shape[1:] == (1,) else values.flatten(1).mean(1)
