"""Accuracies: the share of samples that are right."""

from torch import Tensor, eq

from lepton_ai.core import ShapeError
from lepton_ai.training.component import number, whole
from lepton_ai.training.loss import aligned
from lepton_ai.training.metric import MeanMetric


def label_form(target: Tensor, output: Tensor) -> Tensor:
    """Class labels in the shape of the outputs without their class axis.

    Raises: ShapeError.
    """
    if target.ndim == output.ndim and target.shape[-1] == 1:
        target = target.squeeze(-1)
    if target.shape != output.shape[:-1]:
        raise ShapeError(
            f"labels of shape {tuple(target.shape)} do not fit outputs of shape {tuple(output.shape)}",
            fix="Give one label per row of class scores, or use the metric for one-hot rows (CategoricalAccuracy).",
        )
    return target


def onehot_form(target: Tensor, output: Tensor) -> Tensor:
    """One-hot rows in the outputs' shape.

    Raises: ShapeError.
    """
    if target.shape != output.shape:
        raise ShapeError(
            f"one-hot targets of shape {tuple(target.shape)} do not fit outputs of shape {tuple(output.shape)}",
            fix="Use to_categorical(y), or the metric for class labels (SparseCategoricalAccuracy).",
        )
    return target


class Accuracy(MeanMetric):
    """How often the output equals the target, such as labels that were decided already."""

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return eq(aligned(target, output), output)


class BinaryAccuracy(MeanMetric):
    """How often `output > threshold` equals the target (0 or 1), each output on its own.

    For logits the threshold that means "more likely than not" is 0.0.
    """

    def __init__(self, threshold: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.threshold = number("BinaryAccuracy.threshold", threshold, "(-inf, inf)")

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return eq(output > self.threshold, aligned(target, output))


class SignAccuracy(MeanMetric):
    """How often output and target lie on the same side of 0, for scores of hinge losses; a target of 0 means no.

    What "accuracy" is beside a hinge loss.

    Example:
        >>> from torch import tensor
        >>> metric = SignAccuracy()
        >>> metric.update(tensor([1.0, -1.0]), tensor([[0.2], [0.3]]))
        >>> metric.result()
        0.5
    """

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return eq(output > 0, aligned(target, output) > 0)


class CategoricalAccuracy(MeanMetric):
    """How often the largest output is the class of the one-hot target. Shapes: both `(B, ..., C)`."""

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return eq(onehot_form(target, output).argmax(-1), output.argmax(-1))


class SparseCategoricalAccuracy(MeanMetric):
    """How often the largest output is the labelled class. Shapes: `(B, ...)` or `(B, ..., 1)`, and `(B, ..., C)`."""

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return eq(label_form(target, output), output.argmax(-1))


class SparseTopKCategoricalAccuracy(MeanMetric):
    """How often the labelled class is among the `k` largest outputs; ties count as among them, as in Keras."""

    def __init__(self, k: int = 5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.k = whole(f"{type(self).__name__}.k", k, 1)

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        chosen = output.gather(-1, label_form(target, output).long().unsqueeze(-1))
        # Among the k largest: all but fewer than k are no larger. (Written so that NaN is never among them.)
        return (output <= chosen).sum(-1) > output.shape[-1] - self.k


class TopKCategoricalAccuracy(SparseTopKCategoricalAccuracy):
    """How often the class of the one-hot target is among the `k` largest outputs."""

    def measure(self, target: Tensor, output: Tensor) -> Tensor:
        return super().measure(onehot_form(target, output).argmax(-1), output)
