"""What every metric keeps: streaming equals one pass, states add up, weights repeat, settings survive."""

import json
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from lepton_ai.core import ShapeError, UsageError
from lepton_ai.training.metrics import Metric, get_metric

torch.set_num_threads(1)


class MetricContract:
    """A child names the metric, and gives targets and outputs of twelve samples."""

    name: ClassVar[str]

    def make(self) -> Metric:
        """A fresh metric."""
        return get_metric(self.name)

    def pair(self) -> tuple[Tensor, Tensor]:
        """Targets and outputs of twelve samples."""
        raise NotImplementedError

    def whole(self) -> Metric:
        """The metric after one update with all samples."""
        metric = self.make()
        metric.update(*self.pair())
        return metric

    def test_batches_add_up_to_one_pass(self) -> None:
        target, output = self.pair()
        metric = self.make()
        for start, stop in ((0, 5), (5, 6), (6, 12)):
            metric.update(target[start:stop], output[start:stop])
        assert metric.result() == pytest.approx(self.whole().result(), rel=1e-12)
        assert metric.each() == pytest.approx(self.whole().each(), rel=1e-12)

    def test_states_of_workers_add_up(self) -> None:
        target, output = self.pair()
        first, second, idle = self.make(), self.make(), self.make()
        first.update(target[:7], output[:7])
        second.update(target[7:], output[7:])
        idle.prepare(tuple(output.shape))
        first.state.add_(second.state).add_(idle.state)
        assert first.result() == pytest.approx(self.whole().result(), rel=1e-12)
        assert first.state.dtype == torch.float64

    def test_a_weight_counts_as_repetition(self) -> None:
        target, output = self.pair()
        times = torch.tensor([1, 2, 0, 1, 3, 1, 1, 0, 2, 1, 1, 1])
        weighted, repeated = self.make(), self.make()
        weighted.update(target, output, times.float())
        repeated.update(target.repeat_interleave(times, 0), output.repeat_interleave(times, 0))
        assert weighted.result() == pytest.approx(repeated.result(), rel=1e-9)

    def test_reset_forgets(self) -> None:
        metric = self.make()
        metric.update(*[each.flip(0) for each in self.pair()])
        metric.reset()
        assert float(metric.state.abs().sum()) == 0
        metric.update(*self.pair())
        assert metric.result() == self.whole().result()

    def test_without_data_it_is_zero(self) -> None:
        metric = self.make()
        assert metric.result() == 0.0
        with pytest.raises(UsageError, match="the metric has no state yet. Call update"):
            metric.state
        metric.prepare(tuple(self.pair()[1].shape))
        assert metric.result() == 0.0

    def test_keeps_no_graph(self) -> None:
        target, output = self.pair()
        metric = self.make()
        metric.update(target, output.clone().requires_grad_(output.is_floating_point()))
        assert not metric.state.requires_grad

    def test_result_is_a_float_between_the_single_values(self) -> None:
        metric = self.whole()
        assert type(metric.result()) is float
        assert min(metric.each()) <= metric.result() + 1e-12 and metric.result() <= max(metric.each()) + 1e-12

    def test_settings_survive_storage(self) -> None:
        again = get_metric(json.loads(json.dumps(self.make().config())))
        again.update(*self.pair())
        assert again.name == self.make().name
        assert again.result() == self.whole().result()

    def test_is_found_by_name(self) -> None:
        metric = get_metric(self.name)
        assert type(metric) is type(self.make()) is type(get_metric(type(self.make()).__name__))
        assert metric.name == self.name

    def test_refuses_targets_of_another_shape(self) -> None:
        _, output = self.pair()
        with pytest.raises(ShapeError, match="do not fit outputs of shape"):
            self.make().update(torch.zeros(12, 7, 5), output)
