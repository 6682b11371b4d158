import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lepton_ai.core import DataError, StorageError
from lepton_ai.datasets import fashion_mnist, mnist
from lepton_ai.datasets.idx import FILES, read_idx


def pack(array: npt.NDArray[Any]) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, name in enumerate(FILES):
        rows = 3 if "train" in name else 2
        array = np.arange(rows * 4).reshape(rows, 2, 2) if "images" in name else np.arange(rows)
        packed = pack(array)
        # Two of them packed, two not: both are found.
        path = tmp_path / (f"{name}.gz" if index % 2 else name)
        path.write_bytes(gzip.compress(packed) if index % 2 else packed)
    return tmp_path


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_four_files_are_a_data_set(folder: Path, module: Any) -> None:
    (x_train, y_train), (x_test, y_test) = module.load_data(folder)
    assert x_train.tolist() == np.arange(12).reshape(3, 2, 2).tolist() and x_train.dtype == np.uint8
    assert y_train.tolist() == [0, 1, 2] and y_train.dtype == np.int64
    assert x_test.shape == (2, 2, 2) and y_test.tolist() == [0, 1]
    assert len(module.LABELS) == 10


def test_missing_files_are_named(folder: Path) -> None:
    (folder / FILES[0]).unlink()
    with pytest.raises(StorageError) as caught:
        mnist.load_data(str(folder))
    text = str(caught.value)
    assert "missing: train-images-idx3-ubyte. The folder must hold" in text
    assert all(name in text for name in FILES)
    with pytest.raises(StorageError, match="missing: train-images"):
        mnist.load_data(folder / "none")


def test_images_and_labels_must_belong_together(folder: Path) -> None:
    (folder / FILES[2]).write_bytes(pack(np.zeros((5, 2, 2))))
    with pytest.raises(DataError, match=r"t10k-images.*images \(5, 2, 2\) and labels \(2,\) do not belong together"):
        mnist.load_data(folder)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays("uint8", hnp.array_shapes(max_dims=4, max_side=4)), st.data())
def test_only_whole_files_are_read(tmp_path_factory: pytest.TempPathFactory, array: Any, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    content = pack(array)
    path.write_bytes(content)
    assert np.array_equal(read_idx(path), array)
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match="file: "):
        read_idx(path)


@pytest.mark.parametrize("content", [b"\x00\x00\x0d\x01\x00\x00\x00\x01a", b"\x00\x00\x08\x00", b"<html>", b""])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    for name, written in (("a", content), ("a.gz", gzip.compress(content)), ("b.gz", content)):
        (tmp_path / name).write_bytes(written)
        with pytest.raises(DataError, match=name):
            read_idx(tmp_path / name)
