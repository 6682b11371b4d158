"""Means of losses under Keras' names for them as metrics. `metrics=["hinge"]`, or any loss's name, makes one too.

Beside a loss of the same kind a name means that very loss: `metrics=["binary_crossentropy"]` takes its `from_logits`.
"""

from lepton_ai.training import losses
from lepton_ai.training.metric import MeanLoss


class BinaryCrossentropy(MeanLoss):
    """The mean binary cross-entropy, in nats; see the loss of this name."""

    def __init__(self, *, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0) -> None:
        super().__init__(name=name)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing
        self.loss = losses.BinaryCrossentropy(from_logits, label_smoothing)


class CategoricalCrossentropy(MeanLoss):
    """The mean cross-entropy against one-hot rows, in nats; see the loss of this name."""

    def __init__(
        self, *, name: str | None = None, from_logits: bool = False, label_smoothing: float = 0, axis: int = -1
    ) -> None:
        super().__init__(name=name)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis
        self.loss = losses.CategoricalCrossentropy(from_logits, label_smoothing, axis)


class SparseCategoricalCrossentropy(MeanLoss):
    """The mean cross-entropy against class labels, in nats, over the elements that are not `ignore_class`.

    (Keras counts the ignored ones as zeros.)
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis
        self.loss = losses.SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis)


class Hinge(MeanLoss):
    """The mean of the `Hinge` loss."""

    loss = losses.Hinge()


class SquaredHinge(MeanLoss):
    """The mean of the `SquaredHinge` loss."""

    loss = losses.SquaredHinge()


class CategoricalHinge(MeanLoss):
    """The mean of the `CategoricalHinge` loss."""

    loss = losses.CategoricalHinge()


class KLDivergence(MeanLoss):
    """The mean of the `KLDivergence` loss, in nats."""

    loss = losses.KLDivergence()


class Poisson(MeanLoss):
    """The mean of the `Poisson` loss."""

    loss = losses.Poisson()


class LogCoshError(MeanLoss):
    """The mean of the `LogCosh` loss."""

    loss = losses.LogCosh()
