"""Metrics of the confusion matrix: intersection over union of segmentations, and agreement beyond chance.

State: the (weighted) counts `(C, C)` laid flat, row the true class and column the answered one, and one more entry for
elements whose class is none of these. Where that is not empty the result is an error, not a figure without them.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError, unknown_name
from lepton_ai.training.classification_metrics import label_form
from lepton_ai.training.component import number, whole
from lepton_ai.training.loss import Shape, aligned, same, without_one
from lepton_ai.training.metric import Metric, quotient


class MatrixMetric(Metric):
    """The base: a child says how many classes there are, and which class each element has in target and output."""

    ignored: int | None = None

    @abstractmethod
    def classes(self, output_shape: Shape) -> int:
        """How many classes outputs of a shape tell apart."""

    @abstractmethod
    def labels(self, target: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """The class of each element, true and answered, `(B, ...)`; whole numbers of any dtype."""

    @abstractmethod
    def measure(self, matrix: Tensor) -> Tensor:
        """The values from counts `(C, C)`."""

    def state_shape(self, output_shape: tuple[int | None, ...]) -> tuple[int, ...]:
        return (self.classes(output_shape) ** 2 + 1,)

    def add_batch(self, target: Tensor, output: Tensor, weight: Tensor | None) -> None:
        count = math.isqrt(len(self.state) - 1)
        true, said = self.labels(target, output)
        place = true.long() * count + said.long()
        fits = (true >= 0) & (true < count) & (said >= 0) & (said < count) & (true == true.floor())
        place = place.where(fits, count * count)
        amount = torch.ones_like(place, dtype=self.state.dtype)
        if weight is not None:
            amount = amount * weight.to(amount.dtype).reshape(-1, *[1] * (place.ndim - 1))
        if self.ignored is not None:
            amount = amount * (true != self.ignored)
        self.state.scatter_add_(0, place.flatten(), amount.flatten())

    def values(self, state: Tensor) -> Tensor:
        count = math.isqrt(len(state) - 1)
        if float(state[-1]):
            raise DataError(
                f"{float(state[-1]):g} elements are of no class from 0 to {count - 1}, in targets or outputs",
                at=self.name,
                fix="Number the classes from 0, and say which one not to count: ignore_class=255.",
            )
        return self.measure(state[:-1].reshape(count, count))

    def result(self) -> float:
        """The mean of the values that there are; 0.0 where there are none."""
        if self._state is None:
            return 0.0
        result = float(self.values(self._state.cpu()).nanmean())
        return 0.0 if math.isnan(result) else result

    def refuse_labels(self, target: Tensor, count: int) -> None:
        """Refuse labels outside the classes, but for the one that does not count.

        Raises: DataError.
        """
        labels = target.double()
        bad = (labels < 0) | (labels >= count) | (labels != labels.floor())
        if self.ignored is not None:
            bad &= labels != self.ignored
        if bool(bad.any()):
            raise DataError(
                f"targets are no classes from 0 to {count - 1}: {labels[bad][0].item():g} "
                f"at row {int(bad.nonzero()[0, 0])}",
                at=self.name,
                fix="Number the classes from 0, or give one-hot targets to a metric that takes them.",
            )


class IoU(MatrixMetric):
    """Intersection over union `TP / (TP + FP + FN)` of some classes over all elements; the mean leaves out absent ones.

    Shapes: targets are labels `(B, ...)` (`sparse_y_true=False`: one-hot along `axis`); so are outputs
    (`sparse_y_pred=False`: scores along `axis`, of which the largest answers). Elements whose target is `ignore_class`
    do not count. `each()` has every class, NaN for absent ones.

    Raises: ConfigError if a class is none of `num_classes`; DataError for labels that are none (Keras drops them).

    Example:
        >>> metric = IoU(num_classes=2, target_class_ids=[0])
        >>> metric.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
        >>> round(metric.result(), 4)
        0.3333
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        *,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name)
        at = type(self).__name__
        self.num_classes = whole(f"{at}.num_classes", num_classes, 2)
        self.target_class_ids = [whole(f"{at}.target_class_ids[{i}]", k, 0) for i, k in enumerate(target_class_ids)]
        if not self.target_class_ids or max(self.target_class_ids) >= num_classes:
            raise ConfigError(
                at=f"{at}.target_class_ids", got=self.target_class_ids, expected=f"classes from 0 to {num_classes - 1}"
            )
        self.ignore_class = self.ignored = ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis

    def classes(self, output_shape: Shape) -> int:
        return self.num_classes

    def labels(self, target: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        true = target if self.sparse_y_true else target.argmax(self.axis)
        said = output if self.sparse_y_pred else output.argmax(self.axis)
        if without_one(tuple(true.shape)) != without_one(tuple(said.shape)):
            raise ShapeError(
                f"targets of shape {tuple(target.shape)} do not fit outputs of shape {tuple(output.shape)}",
                at=self.name,
                fix=f"For outputs that are scores of classes write {type(self).__name__}(..., sparse_y_pred=False); "
                "sparse_y_true says whether the targets are labels.",
            )
        return true.reshape(said.shape), said

    def check(self, target: Tensor, output_shape: Shape) -> None:
        if self.sparse_y_true:
            self.refuse_labels(target, self.num_classes)

    def measure(self, matrix: Tensor) -> Tensor:
        both = matrix.diag()
        union = matrix.sum(0) + matrix.sum(1) - both
        return torch.where(union > 0, quotient(both, union), math.nan)[self.target_class_ids]


class MeanIoU(IoU):
    """The mean of `IoU` over all classes that occur; arguments as there.

    Example:
        >>> metric = MeanIoU(num_classes=2)
        >>> metric.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1]))
        >>> round(metric.result(), 4)
        0.3333
    """

    def __init__(
        self,
        num_classes: int,
        *,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        ids = range(whole(f"{type(self).__name__}.num_classes", num_classes, 2))
        super().__init__(
            num_classes,
            ids,
            name=name,
            ignore_class=ignore_class,
            sparse_y_true=sparse_y_true,
            sparse_y_pred=sparse_y_pred,
            axis=axis,
        )


class OneHotIoU(IoU):
    """`IoU` of one-hot targets beside scores, both along `axis`; arguments as there."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        *,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            target_class_ids,
            name=name,
            ignore_class=ignore_class,
            sparse_y_true=False,
            sparse_y_pred=sparse_y_pred,
            axis=axis,
        )


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` of one-hot targets beside scores, both along `axis`; arguments as there."""

    def __init__(
        self,
        num_classes: int,
        *,
        name: str | None = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes,
            name=name,
            ignore_class=ignore_class,
            sparse_y_true=False,
            sparse_y_pred=sparse_y_pred,
            axis=axis,
        )


class BinaryIoU(IoU):
    """`IoU` of yes (1) and no (0), an output being yes from `threshold` on; shapes are equal.

    Example:
        >>> metric = BinaryIoU([1])
        >>> metric.update(torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.9, 0.2]))
        >>> metric.result()
        0.5
    """

    def __init__(
        self, target_class_ids: Sequence[int] = (0, 1), threshold: float = 0.5, *, name: str | None = None
    ) -> None:
        super().__init__(2, target_class_ids, name=name)
        self.threshold = number("BinaryIoU.threshold", threshold, "(-inf, inf)")

    def labels(self, target: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        return aligned(target, output), torch.ge(output, self.threshold)


class AgreementMetric(MatrixMetric):
    """Of class labels `(B, ...)` or one-hot rows beside scores `(B, ..., C)`, or yes/no answers beside one unit.

    A single unit means yes above `threshold`.
    """

    def __init__(self, threshold: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.threshold = number(f"{type(self).__name__}.threshold", threshold, "(-inf, inf)")

    def classes(self, output_shape: Shape) -> int:
        if len(output_shape) < 2 or output_shape[-1] == 1:
            return 2
        if output_shape[-1] is None:
            raise ShapeError(f"outputs of shape {tuple(output_shape)} have no known number of classes", at=self.name)
        return output_shape[-1]

    def labels(self, target: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        if output.ndim < 2 or output.shape[-1] == 1:
            return aligned(target, output), torch.gt(output, self.threshold)
        true = target.argmax(-1) if target.shape == output.shape else label_form(target, output)
        return true, output.argmax(-1)

    def check(self, target: Tensor, output_shape: Shape) -> None:
        if self.classes(output_shape) == 2 and output_shape[-1] != 2:
            self.refuse_labels(target, 2)
        elif not same(tuple(target.shape[1:]), tuple(output_shape[1:])):
            self.refuse_labels(target, self.classes(output_shape))


class MatthewsCorrelation(AgreementMetric):
    """The correlation of truth and answer, from -1 to 1; 0 is chance, or one class alone. Not in Keras.

    Source: Matthews 1975, https://doi.org/10.1016/0005-2795(75)90109-9; Gorodkin 2004 for several classes,
    https://doi.org/10.1016/j.compbiolchem.2004.09.006.

    Example:
        >>> metric = MatthewsCorrelation()
        >>> metric.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0.1, 0.2, 0.9, 0.3]))
        >>> round(metric.result(), 4)
        0.5774
    """

    def measure(self, matrix: Tensor) -> Tensor:
        total, true, said = matrix.sum(), matrix.sum(1), matrix.sum(0)
        spread = (total**2 - said @ said) * (total**2 - true @ true)
        return quotient(matrix.diag().sum() * total - true @ said, spread.clamp_min(0).sqrt())


WEIGHTINGS = ("linear", "quadratic")


class CohenKappa(AgreementMetric):
    """Agreement of truth and answer beyond what chance gives: 1 is full, 0 is chance's. Not in Keras.

    `weighting` None counts any error as one; "linear" and "quadratic" count by how far the classes' numbers are apart.

    Source: Cohen 1960, https://doi.org/10.1177/001316446002000104; 1968 for weights, https://doi.org/10.1037/h0026256.

    Example:
        >>> metric = CohenKappa()
        >>> metric.update(torch.tensor([0, 0, 1, 1]), torch.tensor([0.1, 0.2, 0.9, 0.3]))
        >>> metric.result()
        0.5
    """

    def __init__(self, threshold: float = 0.5, weighting: str | None = None, *, name: str | None = None) -> None:
        super().__init__(threshold, name=name)
        if weighting not in (None, *WEIGHTINGS):
            raise unknown_name("weighting", weighting, list(WEIGHTINGS), at="CohenKappa.weighting")
        self.weighting = weighting

    def measure(self, matrix: Tensor) -> Tensor:
        place = torch.arange(len(matrix), dtype=matrix.dtype)
        apart = (place[:, None] - place).abs()
        cost = (apart > 0).to(matrix.dtype) if self.weighting is None else apart
        cost = cost.square() if self.weighting == "quadratic" else cost
        chance = torch.outer(matrix.sum(1), matrix.sum(0))
        found, expected = (cost * matrix).sum() * matrix.sum(), (cost * chance).sum()
        return torch.where(expected > 0, 1 - quotient(found, expected), 0)


class BalancedAccuracy(AgreementMetric):
    """The mean over the classes that occur of the share of their elements that is answered right. Not in Keras.

    `each()` has every class's recall, NaN for absent ones.

    Example:
        >>> metric = BalancedAccuracy()
        >>> metric.update(torch.tensor([0, 0, 0, 1]), torch.tensor([0.1, 0.2, 0.9, 0.7]))
        >>> round(metric.result(), 4)
        0.8333
    """

    def measure(self, matrix: Tensor) -> Tensor:
        true = matrix.sum(1)
        return torch.where(true > 0, quotient(matrix.diag(), true), math.nan)
