import pytest
import torch

from lepton_ai.core import DataError
from lepton_ai.data import Arrays, Subset


def test_a_subset_is_its_rows_in_its_order() -> None:
    source = Arrays(torch.arange(10), torch.arange(10) * 2, torch.arange(10))
    subset = Subset(Subset(source, [9, 3, 5, 3]), [1, 0, 3])
    x, y, weight = subset.fetch(torch.tensor([2, 1, 0, 0]))
    assert len(subset) == 3
    assert x.tolist() == [3, 9, 3, 3]
    assert y.tolist() == [6, 18, 6, 6]
    assert weight is not None and weight.tolist() == [3, 9, 3, 3]
    assert subset.y_all.tolist() == [6, 18, 6]
    assert subset.weight_all is not None and subset.weight_all.tolist() == [3, 9, 3]
    assert subset.x_all is None


@pytest.mark.parametrize(("indices", "text"), [([], "empty data"), ([0, 2], "got 2"), ([-1], "got -1")])
def test_indices_must_lie_in_the_source(indices: list[int], text: str) -> None:
    with pytest.raises(DataError, match=text):
        Subset(Arrays([1.0, 2.0]), indices)
