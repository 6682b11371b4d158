from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lepton_ai.core import DataError, UsageError
from lepton_ai.data import Arrays, Batches, ResumeWarning, Subset, Table, TorchDataset, as_source


class Squares(Dataset[Any]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return torch.tensor(float(index)), index**2


@pytest.mark.parametrize(
    "x",
    [
        np.ones((3, 2)),
        torch.ones(3, 2),
        [[1, 2], [3, 4], [5, 6]],
        pd.DataFrame({"a": [1, 2, 3], "b": [1.0, 2.0, 3.0]}),
        [np.ones((3, 2))],
        ((1, 2), (3, 4), (5, 6)),
    ],
)
def test_one_input(x: Any) -> None:
    source = as_source(x, pd.Series([0, 1, 2]), np.ones(3))
    assert isinstance(source, Arrays)
    rows, y, weight = source.fetch(torch.tensor([2]))
    assert rows.shape == (1, 2) and y.tolist() == [2] and weight is not None


def test_several_inputs() -> None:
    x = as_source([np.ones(3), np.ones((3, 2))], [np.ones(3), np.zeros(3)])
    assert isinstance(x, Arrays)
    assert isinstance(x.x_all, tuple) and isinstance(x.y_all, tuple)
    named = as_source({"a": np.ones(3), "b": pd.Series([1, 2, 3])})
    assert isinstance(named, Arrays) and set(named.x_all) == {"a", "b"}


def test_what_brings_its_own_targets() -> None:
    data = TensorDataset(torch.ones(3, 2), torch.arange(3))
    source = as_source(data)
    assert isinstance(source, Arrays) and source.y_all.tolist() == [0, 1, 2]
    assert isinstance(as_source(Squares()), TorchDataset)
    assert as_source(source) is source
    assert as_source(subset := Subset(source, [0])) is subset
    for each in (DataLoader(data), iter([torch.ones(2)]), lambda: iter([torch.ones(2)]), (b for b in [1])):
        with pytest.warns(ResumeWarning):
            assert isinstance(as_source(each), Batches)
    with pytest.raises(UsageError, match="fit: y beside a Squares. Its batches must hold y"):
        as_source(Squares(), [1, 2, 3])


def test_a_table_gives_features_and_target() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "kind": ["u", "v"], "price": [3, 4]})
    source = as_source(Table.from_frame(frame, target="price"))
    assert isinstance(source, Arrays)
    assert source.x_all.tolist() == [[1, 1, 0], [2, 0, 1]] and source.y_all.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("x", "y", "text"),
    [
        (None, None, "x: no data: x is None"),
        ("data.csv", None, "x: a path, 'data.csv', where data belongs. Read it first: lepton_ai.data.read_csv(path)"),
        (Path("images"), None, "ImageFolder(path)"),
        ([], None, "x: empty data: 0 rows"),
        (np.ones((3, 2)), [1, 2], "different lengths: x has 3 rows, y has 2"),
        ([np.ones((5, 5))] * 4, [0, 1, 0, 1], "x: a list of 4 arrays is 4 inputs, but there are 4 rows. If each"),
        (np.ones((3, 2)), [np.eye(2)[0]] * 3, "y = np.stack(y)"),
        ({"a": [1, 2], "b": ["u", "v"]}, None, "x['b']: strings where numbers belong, the first 'u' at row 0"),
        (pd.DataFrame({"a": ["u", "v"]}), None, "x: column 'a' holds no numbers, the first 'u' in row 0"),
        ({1, 2}, None, "a set has no order"),
    ],
)
def test_what_cannot_be_a_source(x: Any, y: Any, text: str) -> None:
    with pytest.raises(DataError) as caught:
        as_source(x, y)
    assert text in str(caught.value)
