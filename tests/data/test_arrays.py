import pickle

import numpy as np
import pytest
import torch

from lepton_ai.core import DataError, ShapeError
from lepton_ai.data import Arrays


def test_fetch_selects_and_copies() -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    source = Arrays(x, [0, 1, 2, 3], [1, 1, 2, 2])
    rows, y, weight = source.fetch(torch.tensor([3, 3, 0]))
    assert rows.tolist() == x[[3, 3, 0]].tolist()
    assert y.tolist() == [3, 3, 0] and y.dtype == torch.int64
    assert weight is not None and weight.tolist() == [2, 2, 1] and weight.dtype == torch.float32
    rows[:] = -1
    assert x.min() == 0
    assert source.x_all.data_ptr() == x.ctypes.data


def test_several_inputs_keep_their_names_and_an_empty_fetch_its_shapes() -> None:
    source = Arrays({"image": np.zeros((2, 4, 4), np.uint8), "age": np.ones(2)}, (np.ones(2), np.zeros((2, 3))))
    x, y, weight = source.fetch(torch.empty(0, dtype=torch.int64))
    assert {name: tuple(tensor.shape) for name, tensor in x.items()} == {"image": (0, 4, 4), "age": (0,)}
    assert [tuple(tensor.shape) for tensor in y] == [(0,), (0, 3)]
    assert weight is None


def test_weights_are_one_number_each_finite_and_not_negative() -> None:
    assert Arrays([1.0, 2.0], sample_weight=np.ones((2, 1))).weight_all is not None
    with pytest.raises(ShapeError, match=r"sample_weight: got \(2, 2\), expected one number for each row"):
        Arrays([1.0, 2.0], sample_weight=np.ones((2, 2)))
    with pytest.raises(DataError, match="sample_weight: a negative weight, -2 in row 1"):
        Arrays([1.0, 2.0], sample_weight=[1, -2])
    with pytest.raises(DataError, match="sample_weight: 1 NaN"):
        Arrays([1.0, 2.0], sample_weight=[1, np.nan])


def test_lengths_that_differ_name_both() -> None:
    with pytest.raises(DataError, match="x has 2 rows, y has 3"):
        Arrays([1.0, 2.0], [1, 2, 3])


def test_other_processes_share_the_memory() -> None:
    """What is sent out of band, as Ray does it to its object store, is read from there and not copied."""
    source = Arrays({"a": np.arange(6.0, dtype="float32").reshape(3, 2)}, torch.tensor([0, 1, 2]), [1.0, 2.0, 3.0])
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(source, protocol=5, buffer_callback=buffers.append)
    frozen = [bytes(each) for each in buffers]
    again = pickle.loads(text, buffers=frozen)
    assert len(frozen) == 3 and again.x_all["a"].data_ptr() == np.frombuffer(frozen[0], "uint8").ctypes.data
    x, y, weight = again.fetch(torch.tensor([2, 0]))
    assert x["a"].tolist() == [[4.0, 5.0], [0.0, 1.0]] and y.tolist() == [2, 0] and weight.tolist() == [3.0, 1.0]
    narrow = pickle.loads(pickle.dumps(Arrays(torch.ones(2, 1, dtype=torch.bfloat16))))
    assert narrow.x_all.dtype == torch.bfloat16
