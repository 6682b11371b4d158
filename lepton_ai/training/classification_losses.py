"""Cross-entropies: against one-hot rows, against class labels, and against yes/no answers."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.training.component import number
from lepton_ai.training.loss import Loss, Shape, aligned, full_precision, per_sample, same, without_one

EPSILON = 1e-7  # Keras' fuzz factor
_ROUNDING = 1e-2  # as far as probabilities in half precision are off


def safe_log(probability: Tensor) -> Tensor:
    # Keras clips at 1e-7. A clipped value has no gradient, so the samples that are most wrong would be the ones
    # nothing is learnt from; the smallest normal number keeps the logarithm finite and their gradient alive.
    return probability.clamp_min(torch.finfo(probability.dtype).tiny).log()


def _classes(loss: Loss, output_shape: Shape, axis: int) -> tuple[tuple[int | None, ...], int | None]:
    """The output's shape without batch and class axis, and the number of classes."""
    sizes = list(output_shape)
    if not -len(sizes) <= axis < len(sizes) or axis % len(sizes) == 0:
        raise ShapeError(
            f"outputs of shape {tuple(output_shape)} have no class axis {axis}",
            at=loss.name,
            fix="End the model with Dense(number_of_classes, activation='softmax').",
        )
    count = sizes.pop(axis)
    if count == 1:
        raise ShapeError(
            "the model has one output unit, which is too few for classes",
            at=loss.name,
            fix="Use loss='binary_crossentropy' with one sigmoid unit, or one unit per class.",
        )
    return tuple(sizes[1:]), count


def check_probabilities(loss: Loss, output: Tensor, axis: int | None) -> None:
    """Refuse raw scores: finite outputs outside [0, 1], or that do not sum to 1 over the class axis."""
    output = output.detach().float()
    if not bool(torch.isfinite(output).all()):
        return  # the loop tells what is not finite
    outside = (output < -_ROUNDING) | (output > 1 + _ROUNDING)
    what = f"{output[outside][0].item():.4g} among them" if bool(outside.any()) else ""
    if not what and axis is not None:
        total = output.sum(axis)
        off = (total - 1).abs() > _ROUNDING
        what = f"those of a row sum to {total[off][0].item():.4g}" if bool(off.any()) else ""
    if what:
        activation = "sigmoid" if axis is None else "softmax"
        raise ConfigError(
            f"the model's outputs are no probabilities: {what}",
            at=loss.name,
            fix=f"End the model with activation='{activation}'"
            + (f", or use {type(loss).__name__}(from_logits=True)." if "from_logits" in loss.arguments() else "."),
        )


def check_distributions(loss: Loss, target: Tensor, output_shape: Shape, axis: int) -> None:
    """Refuse targets that are not one distribution over the classes for each of the outputs'."""
    rest, count = _classes(loss, output_shape, axis)
    shape = tuple(target.shape[1:])
    if not same(shape, tuple(output_shape[1:])):
        labels = same(shape, rest) or same(without_one(shape), rest)
        raise loss.mismatch(
            target.shape,
            output_shape,
            "These look like class labels: use loss='sparse_categorical_crossentropy', or "
            f"to_categorical(y, num_classes={count})."
            if labels
            else f"Give one-hot targets with {count} columns, or change the units of the last layer to fit.",
        )
    loss.check_finite(target)
    fix = "One row holds the probabilities of its classes; use loss='binary_crossentropy' for several labels per row."
    loss.refuse_rows(target, (target < 0) | (target > 1), "targets lie outside [0, 1]", fix)
    total = target.sum(axis, dtype=torch.float64)
    loss.refuse_rows(total, (total - 1).abs() > 1e-3, "targets do not sum to 1 over the classes", fix)


class CategoricalCrossentropy(Loss):
    """Cross-entropy against one-hot (or soft) targets: `-sum(target * log(output))` over the class axis.

    Shapes: targets and outputs `(B, ..., C)`. Outputs are probabilities, which are divided by their sum as in
    Keras, or logits. Equal to Keras for probabilities between 1e-7 and 1 - 1e-7, which Keras clips them to.

    Example:
        >>> CategoricalCrossentropy()(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]]))
        tensor([0.6931])
    """

    def __init__(
        self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1, *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.from_logits = from_logits
        self.label_smoothing = number("CategoricalCrossentropy.label_smoothing", label_smoothing, "[0, 1]")
        self.axis = axis

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        if target.shape != output.shape:
            raise self.mismatch(target.shape, output.shape, "Give one-hot targets of the outputs' shape.")
        output = full_precision(output)
        target = target.to(output.dtype)
        if self.axis not in (-1, output.ndim - 1):
            output, target = output.movedim(self.axis, -1), target.movedim(self.axis, -1)
        classes = output.shape[-1]
        if self.from_logits:
            flat = F.cross_entropy(
                output.reshape(-1, classes),
                target.reshape(-1, classes),
                reduction="none",
                label_smoothing=self.label_smoothing,
            )
            return per_sample(flat.view(output.shape[:-1]))
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / classes
        return per_sample(-(target * safe_log(output / output.sum(-1, keepdim=True))).sum(-1))

    def check_outputs(self, output: Tensor) -> None:
        if not self.from_logits:
            check_probabilities(self, output, self.axis)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        check_distributions(self, target, output_shape, self.axis)


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy against class labels: `-log(output[label])`.

    Shapes: labels `(B, ...)` or `(B, ..., 1)`, whole numbers in [0, C) of any dtype; outputs `(B, ..., C)`,
    probabilities (divided by their sum, as in Keras) or logits. Elements labelled `ignore_class` count nothing:
    a sample's value is the mean over its other elements, and `weight` says which share of it they are.

    Example:
        >>> SparseCategoricalCrossentropy()(torch.tensor([1]), torch.tensor([[0.5, 0.5]]))
        tensor([0.6931])
    """

    def __init__(
        self, from_logits: bool = False, ignore_class: int | None = None, *, axis: int = -1, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        if self.axis not in (-1, output.ndim - 1):
            output = output.movedim(self.axis, -1)
        labels = self._labels(target, output.ndim - 1)
        if labels.shape != output.shape[:-1]:
            raise self.mismatch(target.shape, output.shape, "Give one label for each row of class probabilities.")
        counted = None if self.ignore_class is None else labels != self.ignore_class
        if counted is not None:
            labels = labels.where(counted, 0)
        if not self.from_logits:
            values = -safe_log(output.gather(-1, labels.unsqueeze(-1)).squeeze(-1) / output.sum(-1))
        elif output.ndim == 2:
            values = F.cross_entropy(output, labels, reduction="none")
        else:
            flat = F.cross_entropy(output.reshape(-1, output.shape[-1]), labels.reshape(-1), reduction="none")
            values = flat.view(labels.shape)
        if counted is None:
            return per_sample(values)
        values = values.where(counted, 0)
        if values.ndim == 1:
            return values
        return values.flatten(1).sum(1) / counted.flatten(1).sum(1).clamp_min(1)

    def weight(self, target: Tensor) -> Tensor | None:
        if self.ignore_class is None:
            return None
        return per_sample((target.long() != self.ignore_class).to(torch.get_default_dtype()))

    def _labels(self, target: Tensor, rank: int) -> Tensor:
        labels = target.long()
        return labels.squeeze(-1) if labels.ndim == rank + 1 and labels.shape[-1] == 1 else labels

    def check_outputs(self, output: Tensor) -> None:
        if not self.from_logits:
            check_probabilities(self, output, self.axis)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        rest, count = _classes(self, output_shape, self.axis)
        shape = tuple(target.shape[1:])
        if not (same(shape, rest) or same(without_one(shape), rest)):
            onehot = same(shape, tuple(output_shape[1:]))
            raise self.mismatch(
                target.shape,
                output_shape,
                "These look like one-hot rows: use loss='categorical_crossentropy', or y.argmax(-1)."
                if onehot
                else "Give one class label for each row of class probabilities.",
            )
        self.check_finite(target)
        if target.is_floating_point():
            fix = "Class labels are the numbers of the classes; use loss='mean_squared_error' to predict a quantity."
            self.refuse_rows(target, target != target.floor(), "labels are not whole numbers", fix)
        else:
            target = target.long()  # a uint8 cannot be compared with 256 classes
        outside = (target < 0) if count is None else (target < 0) | (target >= count)
        if self.ignore_class is not None:
            outside &= target != self.ignore_class
        self.refuse_rows(
            target,
            outside,
            f"labels lie outside [0, {count})",
            "Labels count from 0; number the classes anew (y - 1 if they count from 1), or give the last layer "
            "one unit for each class.",
        )


class BinaryCrossentropy(Loss):
    """Cross-entropy of yes/no answers, each output on its own: `-(t log(p) + (1 - t) log(1 - p))`.

    Shapes: equal, `(B, ...)`; `(B,)` beside `(B, 1)` is aligned. Targets are 0, 1, or probabilities between.
    Outputs are probabilities, clipped to [1e-7, 1 - 1e-7] as in Keras, or logits.

    Example:
        >>> BinaryCrossentropy()(torch.tensor([1.0, 0.0]), torch.tensor([[0.5], [0.25]]))
        tensor([0.6931, 0.2877])
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.from_logits = from_logits
        self.label_smoothing = number("BinaryCrossentropy.label_smoothing", label_smoothing, "[0, 1]")

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        output = full_precision(output)
        target = aligned(target, output)
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        if self.from_logits:
            return per_sample(F.binary_cross_entropy_with_logits(output, target, reduction="none"))
        output = output.clamp(EPSILON, 1 - EPSILON)
        if torch.is_autocast_enabled(output.device.type):  # under CUDA's autocast torch refuses this function
            with torch.autocast(output.device.type, enabled=False):
                return per_sample(F.binary_cross_entropy(output, target, reduction="none"))
        return per_sample(F.binary_cross_entropy(output, target, reduction="none"))

    def check_outputs(self, output: Tensor) -> None:
        if not self.from_logits:
            check_probabilities(self, output, None)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        units = output_shape[-1] if len(output_shape) > 1 else 1
        self.check_elementwise(
            target,
            output_shape,
            "For one yes/no answer end the model with Dense(1, activation='sigmoid'); for one of several classes use "
            "loss='sparse_categorical_crossentropy' (labels) or 'categorical_crossentropy' (one-hot rows)."
            if units != 1
            else "The model gives one answer per row: pass one target per row, or one sigmoid unit for each column.",
        )
        self.check_finite(target)
        self.refuse_rows(
            target,
            (target < 0) | (target > 1),
            "targets lie outside [0, 1]",
            "Code no as 0 and yes as 1 ((y + 1) / 2 if they are -1 and 1), or use "
            "loss='sparse_categorical_crossentropy' for labels of several classes.",
        )


class KLDivergence(Loss):
    """How far the output is from the target distribution, in nats: `sum(target * log(target / output))`.

    Shapes: both `(B, ..., C)`, probabilities over the last axis; both are kept from 0 by 1e-7 in the target, as in
    Keras, and by the smallest number in the output, which keeps its gradient alive.

    Source: Kullback & Leibler 1951, https://doi.org/10.1214/aoms/1177729694.

    Example:
        >>> KLDivergence()(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]]))
        tensor([0.1438])
    """

    def __call__(self, target: Tensor, output: Tensor) -> Tensor:
        if target.shape != output.shape:
            raise self.mismatch(target.shape, output.shape, "Give target probabilities of the outputs' shape.")
        output = full_precision(output)
        target = target.to(output.dtype).clamp(EPSILON, 1)
        return per_sample((target * (target.log() - safe_log(output))).sum(-1))

    def check_outputs(self, output: Tensor) -> None:
        check_probabilities(self, output, -1)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        check_distributions(self, target, output_shape, -1)
