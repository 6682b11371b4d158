"""The objective: what every output is trained for and measured by."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError
from lepton_ai.data import Batch
from lepton_ai.training.class_weight import check_classes, weights_of
from lepton_ai.training.losses import Loss, get_loss
from lepton_ai.training.masked import spread, stands_for
from lepton_ai.training.metric import Metric
from lepton_ai.training.metrics import check_metric_name, get_metric

log = logging.getLogger("lepton_ai.training")

LossLike = str | Loss | Callable[..., Tensor]
MetricLike = str | Metric | Callable[..., Tensor]


@dataclass
class Head:
    """One output: its loss, the loss' share in the total, and its metrics."""

    name: str
    shape: tuple[int, ...]
    loss: Loss | None
    share: float
    metrics: list[Metric]
    masked: bool = False  # each step that the output's mask lets count is a row of its own


class Objective:
    """Losses and metrics for all outputs, as `compile` takes them: one for all, a list, or a dict by output name.

    `bind` resolves names once the outputs are known, since "accuracy" depends on their shapes.
    """

    def __init__(
        self,
        loss: LossLike | list[LossLike] | dict[str, LossLike] | None,
        metrics: list[Any] | dict[str, Any] | None = None,
        loss_weights: list[float] | dict[str, float] | None = None,
    ) -> None:
        self.loss, self.metrics, self.loss_weights = loss, metrics, loss_weights
        self.heads: list[Head] = []
        for each in _parts(loss):
            if each is not None:
                get_loss(each)  # an unknown name is better found at compile than at fit
        for name in _names(metrics):
            check_metric_name(name)
        for share in _parts(loss_weights):
            if share is not None and (isinstance(share, bool) or not isinstance(share, int | float)):
                fix = "Metrics go in by name: compile(optimizer, loss, metrics=[...])."
                raise ConfigError(at="compile(loss_weights=...)", got=share, expected="a number for each loss", fix=fix)

    def copy(self) -> "Objective":
        """The same losses and metrics, not bound; metrics that were given as objects are shared."""
        return Objective(self.loss, self.metrics, self.loss_weights)

    def bind(self, outputs: Any, names: list[str] | None = None, y: Any = None, masks: Any = None) -> None:
        """Resolve losses and metrics for outputs, targets and masks shaped like these (a sample batch)."""
        if isinstance(outputs, dict):
            tensors, names = list(outputs.values()), list(outputs)
        else:
            tensors = list(outputs) if isinstance(outputs, tuple | list) else [outputs]
            names = names or [f"output_{index}" for index in range(len(tensors))]
        losses = self._per_output(self.loss, names, "loss", shared=True)
        metrics = self._per_output(self.metrics, names, "metrics", shared=len(names) == 1)
        shares = self._per_output(self.loss_weights, names, "loss_weights", shared=False)
        self.heads = [
            Head(
                name, tuple(tensor.shape), None if loss is None else get_loss(loss), 1.0 if share is None else share, []
            )
            for name, tensor, loss, share in zip(names, tensors, losses, shares, strict=True)
        ]
        targets = [None] * len(names) if y is None else self._tensors(y, "y")
        found = zip(tensors, targets, self._masks(masks), strict=True)
        for head, wanted, (output, target, mask) in zip(self.heads, metrics, found, strict=True):
            shape = None if target is None else tuple(target.shape)
            if mask is not None and target is not None and stands_for(mask, output, target):
                head.masked, head.shape, shape = True, tuple(output[mask].shape), tuple(target[mask].shape)
            listed = [] if wanted is None else wanted if isinstance(wanted, list | tuple) else [wanted]
            for each in listed:
                metric = get_metric(each, loss=head.loss, output_shape=head.shape, target_shape=shape)
                head.metrics.append(_named(metric, each))

    def check(self, y: Any, outputs: Any) -> None:
        """Refuse targets that do not fit their output, loss and metrics.

        Raises: ShapeError, DataError naming the output, both shapes and the way out.
        """
        for head, target, output in self._each(y, outputs):
            for each in (head.loss, *head.metrics):
                if each is not None:
                    each.check(target, tuple(output.shape))

    def check_outputs(self, outputs: Any) -> None:
        """Refuse outputs that a loss or metric cannot mean, such as raw scores where it takes probabilities.

        Raises: ConfigError.
        """
        for head, output in zip(self.heads, self._tensors(outputs, "outputs"), strict=True):
            for each in (head.loss, *head.metrics):
                if each is not None:
                    each.check_outputs(output)

    def warn_of_pairs(self, workers: int) -> None:
        """Log a warning if a loss compares rows that several workers do not see together."""
        for head in self.trained:
            if workers > 1 and head.loss is not None and head.loss.pairs_rows:
                log.warning(
                    "%s compares the rows of a batch with each other; each of %d workers sees its own share only, so "
                    "the result depends on their number",
                    head.loss.name,
                    workers,
                )

    def check_classes(self, y: Any) -> None:
        """Refuse targets that are not one class per row, as `class_weight` needs them.

        Raises: UsageError for a loss of quantities; DataError for soft, multi-hot or element-wise targets.
        """
        for head, target in zip(self.heads, self._tensors(y, "y"), strict=True):
            if head.loss is not None:
                check_classes(head.loss, target)

    def losses(
        self,
        outputs: Any,
        batch: Batch,
        class_weight: Tensor | None = None,
        masks: Any = None,
        sizes: Tensor | None = None,
    ) -> list[Tensor]:
        """Each head's loss summed over these rows and divided by the rows of the *global* batch.

        So the values of all workers, or of all micro-batches, add up to the mean over the whole batch. Sample
        and class weights scale rows; as in Keras the divisor stays the number of rows. Where an output has a mask,
        its steps that count are the rows; `sizes` are the rows of each trained output to divide by instead.
        """
        result: list[Tensor] = []
        if masks is not None and sizes is None:
            sizes = self.sizes(outputs, masks)
        for head, target, output, mask in self._each_kept(batch.y, outputs, masks):
            if head.loss is None:
                continue
            values = head.loss(target, output)
            if batch.weight is not None:
                values = values * (batch.weight if mask is None else spread(batch.weight, mask))
            if class_weight is not None:
                values = values * weights_of(class_weight, target)
            rows = batch.global_rows if sizes is None else sizes[len(result)].clamp(min=1).to(values.dtype)
            result.append(values.sum() / rows)
        return result

    def sizes(self, outputs: Any, masks: Any) -> Tensor:
        """How many rows each trained output has here, float64; where it has a mask, how many steps that count."""
        tensors = zip(self.heads, self._tensors(outputs, "outputs"), self._masks(masks), strict=True)
        counts = [
            mask.sum() if mask is not None and head.masked else output.new_tensor(len(output))
            for head, output, mask in tensors
            if head.loss is not None
        ]
        return torch.stack([count.to(torch.float64) for count in counts])

    def total(self, losses: list[Tensor]) -> Tensor:
        """The weighted sum that is minimised."""
        shares = [head.share for head in self.heads if head.loss is not None]
        total = losses[0] if shares[0] == 1.0 else losses[0] * shares[0]
        for loss, share in zip(losses[1:], shares[1:], strict=True):
            total = total + loss * share
        return total

    @torch.no_grad()
    def update(self, outputs: Any, y: Any, masks: Any = None) -> None:
        """Let the metrics see a batch."""
        for head, target, output, mask in self._each_kept(y, outputs, masks):
            if mask is None or len(output):
                for metric in head.metrics:
                    metric.update(target, output)

    def reset(self) -> None:
        """Forget what the metrics saw."""
        for head in self.heads:
            for metric in head.metrics:
                metric.reset()

    @contextlib.contextmanager
    def fresh(self, device: torch.device) -> Iterator[None]:
        """Inside, metrics count from nothing; afterwards they hold again what they held."""
        metrics = self.states
        held = [metric._state for metric in metrics]
        for metric in metrics:
            metric._state = None
        try:
            self.prepare(device)
            yield
        finally:
            for metric, state in zip(metrics, held, strict=True):
                metric._state = state

    def results(self) -> dict[str, float]:
        """Metrics by name; with several outputs, as `output_metric`."""
        several = len(self.heads) > 1
        return {
            f"{head.name}_{metric.name}" if several else metric.name: float(metric.result())
            for head in self.heads
            for metric in head.metrics
        }

    def prepare(self, device: torch.device) -> None:
        """Give every metric its empty state, also on a worker that may never see a row."""
        for head in self.heads:
            for metric in head.metrics:
                metric.prepare(head.shape, device)

    def config(self) -> dict[str, Any]:
        """The arguments that rebuild this.

        Raises: ConfigError for a function of the user's own, which cannot be stored.
        """
        return {
            "loss": _stored(self.loss),
            "metrics": _stored(_as_metrics(self.metrics)),
            "loss_weights": _stored(self.loss_weights),
        }

    @property
    def trained(self) -> list[Head]:
        """The outputs that have a loss."""
        return [head for head in self.heads if head.loss is not None]

    @property
    def states(self) -> list[Metric]:
        """All metrics, whose states add up over workers."""
        return [metric for head in self.heads for metric in head.metrics]

    def _each(self, y: Any, outputs: Any) -> Iterator[tuple[Head, Tensor, Tensor]]:
        return zip(self.heads, self._tensors(y, "y"), self._tensors(outputs, "outputs"), strict=True)

    def _each_kept(self, y: Any, outputs: Any, masks: Any) -> Iterator[tuple[Head, Tensor, Tensor, Tensor | None]]:
        """Each head with its target and output, only the steps that count where it has a mask; and that mask."""
        for (head, target, output), mask in zip(self._each(y, outputs), self._masks(masks), strict=True):
            if mask is None or not head.masked:
                yield head, target, output, None
            else:
                yield head, target[mask], output[mask], mask

    def _masks(self, masks: Any) -> list[Tensor | None]:
        """The mask of each output, in any structure that outputs have."""
        if masks is None:
            return [None] * len(self.heads)
        if isinstance(masks, dict):
            return [masks[head.name] for head in self.heads]
        return list(masks) if isinstance(masks, tuple | list) else [masks]

    def _tensors(self, structure: Any, what: str) -> list[Tensor]:
        if isinstance(structure, Tensor) and len(self.heads) == 1:
            return [structure]
        if structure is None:
            raise DataError(
                f"there are no targets for {len(self.heads)} outputs", fix="Pass y, or an x that yields pairs."
            )
        if isinstance(structure, dict):
            missing = [head.name for head in self.heads if head.name not in structure]
            if missing:
                raise DataError(f"{what} has no entry for the outputs {missing}; it has {sorted(structure)}")
            return [structure[head.name] for head in self.heads]
        tensors = list(structure) if isinstance(structure, tuple | list) else [structure]
        if len(tensors) != len(self.heads):
            raise ShapeError(at=what, got=len(tensors), expected=f"{len(self.heads)} arrays, one for each output")
        return tensors

    def _per_output(self, given: Any, names: list[str], what: str, *, shared: bool) -> list[Any]:
        if given is None:
            return [None] * len(names)
        if isinstance(given, dict) and not _is_config(given):
            unknown = sorted(given.keys() - set(names))
            if unknown:
                raise ConfigError(f"{what} names outputs {unknown} that are not there", fix=f"Outputs: {names}.")
            return [given.get(name) for name in names]
        if shared and (not isinstance(given, list | tuple) or len(names) == 1):
            if what == "loss" and isinstance(given, list | tuple) and len(given) == 1:
                given = given[0]
            return [given] * len(names)
        if isinstance(given, list | tuple) and len(given) == len(names):
            return list(given)
        raise ConfigError(at=f"compile({what}=...)", got=given, expected=f"one for each of the outputs {names}")


def _is_config(value: Any) -> bool:
    """Whether this is one loss or metric as `config()` stores it, not a choice for each output."""
    return isinstance(value, dict) and value.keys() == {"class", "config"}


def _parts(given: Any) -> list[Any]:
    if isinstance(given, dict) and not _is_config(given):
        return list(given.values())
    return list(given) if isinstance(given, list | tuple) else [given]


def _names(metrics: Any) -> Iterator[str]:
    """Every metric that is given by its name."""
    if isinstance(metrics, str):
        yield metrics
    elif isinstance(metrics, list | tuple) or (isinstance(metrics, dict) and not _is_config(metrics)):
        for each in metrics.values() if isinstance(metrics, dict) else metrics:
            yield from _names(each)


def _as_metrics(value: Any) -> Any:
    """Losses that are used as metrics become metrics, since some names mean either."""
    if isinstance(value, dict):
        return {key: _as_metrics(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_metrics(each) for each in value]
    return get_metric(value) if isinstance(value, Loss) else value


def _stored(value: Any) -> Any:
    if isinstance(value, Loss | Metric):
        return value.config()
    if isinstance(value, dict):
        return {key: _stored(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_stored(each) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise ConfigError(f"{value!r} cannot be stored", at="compile")


def _named(metric: Metric, given: MetricLike) -> Metric:
    """A metric goes by the name that the user wrote."""
    if isinstance(given, str):
        metric.name = given
    return metric
