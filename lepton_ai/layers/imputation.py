"""Gaps in numbers filled, and told."""

from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError
from lepton_ai.layers.arguments import one_of
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.fitted import FittedColumns, columns, quantiles
from lepton_ai.layers.layer import LayerOptions
from lepton_ai.layers.shapes import Shape


class Imputation(FittedColumns):
    """NaN replaced by what `adapt` found in the training data; with columns that say where, if asked.

    Shapes: `(B, ..., F)` in, the same out; with `add_indicator` `(B, ..., 2 * F)`, 1 where a number was missing.

    Args:
        strategy: "mean", "median", "most_frequent" (the least of several) or "constant", which needs no `adapt`.
        fill_value: what "constant" fills in, 0 if not given; for the others, what fills a feature that has no number
            in the training data, which is an error if not given.
        add_indicator: append the indicators on the last axis.
        axis: the axes with values of their own; None for one value for all.

    Raises: ConfigError for impossible settings; UsageError before `adapt`; ShapeError for other sizes; DataError
        from `adapt` for features without numbers.

    Example:
        >>> layer = Imputation("median", add_indicator=True)
        >>> layer.adapt(torch.tensor([[1.0], [float("nan")], [2.0], [9.0]]))
        >>> layer(torch.tensor([[float("nan")], [5.0]]))
        tensor([[2., 1.],
                [5., 0.]])
    """

    adapted_fill: Tensor
    state = "values to fill in"
    statistics = {"adapted_fill": "zeros"}
    accepts_missing = True

    def __init__(
        self,
        strategy: str = "mean",
        fill_value: float | None = None,
        add_indicator: bool = False,
        axis: int | tuple[int, ...] | None = -1,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(axis, **options)
        strategies = ("mean", "median", "most_frequent", "constant")
        self.strategy = one_of("Imputation.strategy", strategy, strategies)
        if fill_value is not None and not abs(fill_value) < float("inf"):
            raise ConfigError(at="Imputation.fill_value", got=fill_value, expected="a finite number")
        self.fill_value = fill_value
        self.add_indicator = add_indicator
        self.adapted = strategy == "constant"

    @property
    def given(self) -> bool:
        return self.strategy == "constant"

    def adapt(self, data: Any) -> None:
        """Find what to fill in; nothing to do for "constant".

        Raises: DataError for features without numbers; ShapeError for other sizes.
        """
        if not self.given:
            super().adapt(data)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if self.given:
            self.adapted_fill.fill_(self.fill_value or 0.0)

    def fit_to(self, values: Tensor) -> None:
        parts = list(columns(self.label, values, self.kept(values.ndim), empty=True))
        empty = torch.cat([part.isnan().all(0) for part in parts])
        if self.fill_value is None and bool(empty.any()):
            raise DataError(
                f"got no number in the features {empty.nonzero().flatten().tolist()[:10]}",
                at=self.label,
                fix="Drop these features, or say what fills them: Imputation(fill_value=0.0).",
            )
        found = torch.cat([_STATISTICS[self.strategy](part) for part in parts])
        fill = torch.where(empty, self.fill_value or 0.0, found)
        self.adapted_fill.copy_(fill.view(self.adapted_fill.shape))

    def transform(self, x: Tensor) -> Tensor:
        (fill,) = self.along(x)
        x = as_float(x, fill)
        gaps = x.isnan()
        filled = torch.where(gaps, fill, x)
        return torch.cat((filled, gaps.to(x.dtype)), -1) if self.add_indicator else filled

    def compute_output_shape(self, input_shape: Any) -> Shape:
        last = input_shape[-1]
        return (*input_shape[:-1], last if last is None or not self.add_indicator else 2 * last)


def _most_frequent(part: Tensor) -> Tensor:
    modes = torch.full_like(part[0], torch.nan)
    for index, column in enumerate(part.unbind(1)):
        values, counts = np.unique(column[~column.isnan()].numpy(), return_counts=True)  # in ascending order
        if len(values):
            modes[index] = float(values[counts.argmax()])
    return modes


_STATISTICS = {
    "mean": lambda part: part.nanmean(0),
    "median": lambda part: quantiles(part, (0.5,))[0],
    "most_frequent": _most_frequent,
}
