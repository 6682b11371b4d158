import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lepton_ai.core import DataError, ShapeError, UnknownNameError
from lepton_ai.data import HuggingFaceDataset, Loader, Schema, Stream, build_profile, from_huggingface

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    datasets = pytest.importorskip("datasets")


def make(**columns: Any) -> Any:
    return datasets.Dataset.from_dict(columns)


def indexed(dataset: Any, *arguments: Any, **more: Any) -> HuggingFaceDataset:
    source = from_huggingface(dataset, *arguments, **more)
    assert isinstance(source, HuggingFaceDataset)
    return source


def test_columns_of_numbers() -> None:
    rows = make(a=[1.0, None, 3.0], b=[1, 2, 3], y=[0, 1, 0])
    source = indexed(rows, "y")
    x, y, _ = source.fetch(torch.tensor([2, 1]))
    assert x.dtype == torch.float32 and x[0].tolist() == [3, 3] and bool(torch.isnan(x[1, 0]))
    assert y.dtype == torch.int64 and y.tolist() == [0, 1] and source.names == ("a", "b")
    assert source.fetch(torch.empty(0, dtype=torch.int64))[0].shape == (0, 2)
    assert indexed(rows, columns=["b"]).fetch(torch.tensor([0]))[:2] == (torch.tensor([1]), None)
    chosen = indexed(rows.select([2, 0]).shuffle(seed=1), "y", columns=["b"])
    assert sorted(chosen.fetch(torch.arange(2))[0].tolist()) == [1, 3]  # through the dataset's own indices
    profile = build_profile(source, names=source.names)
    assert [feature.missing for feature in profile.inputs["input"]] == [1, 0]
    assert Schema.of(source).targets[0].high == 1


def test_lists_texts_and_classes() -> None:
    features = datasets.Features(
        {
            "grid": datasets.Array2D((2, 2), "float32"),
            "tokens": datasets.List(datasets.Value("int64")),
            "text": datasets.Value("string"),
            "y": datasets.ClassLabel(names=["no", "yes"]),
        }
    )
    rows = {"grid": [[[1, 2], [3, 4]]] * 2, "tokens": [[1, 2, 3], [4, 5, 6]], "text": ["ab", "c"], "y": [1, 0]}
    dataset = datasets.Dataset.from_dict(rows, features=features)
    source = indexed(dataset, "y")
    x, y, _ = source.fetch(torch.tensor([1, 0]))
    assert x["tokens"].tolist() == [[4, 5, 6], [1, 2, 3]] and x["grid"].shape == (2, 2, 2)
    assert x["text"].tolist() == ["c", "ab"] and y.tolist() == [0, 1] and source.labels == ("no", "yes")
    ragged = indexed(make(t=[[1], [1, 2]]))
    with pytest.raises(ShapeError, match="column 't': lists of different lengths: 1 and 2. Pad or cut"):
        ragged.fetch(torch.arange(2))
    with pytest.raises(DataError, match="column 't': 1 missing lists"):
        indexed(make(t=[[1], None])).fetch(torch.arange(2))


def test_texts_as_targets() -> None:
    source = indexed(make(a=[1, 2, 3], y=["b", "a", "b"]), "y")
    assert source.labels == ("a", "b") and source.fetch(torch.arange(3))[1].tolist() == [1, 0, 1]
    with pytest.raises(DataError, match="column 'y': missing targets"):
        indexed(make(a=[1, 2], y=["b", None]), "y")
    with pytest.raises(DataError, match="column 'y': 1 missing targets"):
        indexed(make(a=[1, 2], y=[1, None]), "y").fetch(torch.arange(2))


def test_images() -> None:
    images = [Image.new("RGB", (4, 2), (value, 0, 0)) for value in (10, 20)] + [Image.new("L", (2, 2), 30)]
    features = datasets.Features({"image": datasets.Image(), "y": datasets.Value("int64")})
    rows = datasets.Dataset.from_dict({"image": images, "y": [0, 1, 2]}, features=features)
    x, y, _ = indexed(rows, "y").fetch(torch.tensor([1, 0]))
    assert (
        x.dtype == torch.uint8
        and x.shape == (2, 2, 4, 3)
        and x[:, 0, 0, 0].tolist() == [20, 10]
        and y.tolist() == [1, 0]
    )
    with pytest.raises(ShapeError, match=r"images of \(2, 4\) and \(2, 2\) \(height, width\)\. Pass size"):
        indexed(rows, "y").fetch(torch.arange(3))
    assert indexed(rows, "y", size=(3, 5), channels=1).fetch(torch.arange(3))[0].shape == (3, 3, 5, 1)
    broken = datasets.Dataset.from_dict({"image": [{"bytes": b"x", "path": "cat.png"}], "y": [0]}, features=features)
    with pytest.raises(DataError, match="column 'image': the image 'cat.png' does not decode"):
        indexed(broken, "y").fetch(torch.tensor([0]))


def numbered(first: list[int]) -> Iterator[dict[str, Any]]:
    for start in first:
        for row in range(start, start + 10):
            yield {"a": float(row), "b": row, "y": row % 2}


@pytest.mark.parametrize("known", [True, False])
def test_a_stream_is_shuffled_and_resumed_by_position(known: bool) -> None:
    features = datasets.Features(
        {"a": datasets.Value("float32"), "b": datasets.Value("int64"), "y": datasets.Value("int64")}
    )
    rows = datasets.IterableDataset.from_generator(
        numbered, gen_kwargs={"first": [0, 10, 20]}, features=features if known else None
    )
    stream = from_huggingface(rows, "y", columns=["a", "b"] if known else ["b"], buffer=8)
    assert isinstance(stream, Stream) and len(stream.shards) == 3

    def seen(start: int) -> list[list[int]]:
        loader = Loader(from_huggingface(rows, "y", columns=["b"], buffer=8), 4, shuffle=True, seed=3)
        return [batch.x.tolist() for batch in loader.epoch(1, start)]

    whole = seen(0)
    assert sorted(row for batch in whole for row in batch) == list(range(30))
    assert seen(5) == whole[5:]
    x, y, _ = stream.peek(2)
    assert x.tolist() == ([[0, 0], [1, 1]] if known else [0, 1]) and y is not None and y.tolist() == [0, 1]


def test_what_is_no_dataset() -> None:
    with pytest.raises(DataError, match=r"got a DatasetDict, expected a datasets\.Dataset.*dataset\['train'\]"):
        from_huggingface(datasets.DatasetDict({"train": make(a=[1])}))
    with pytest.raises(DataError, match="got a list, expected"):
        from_huggingface([1])
    with pytest.raises(UnknownNameError, match="unknown column 'aa'. Did you mean 'a'"):
        from_huggingface(make(a=[1]), columns=["aa"])
    with pytest.raises(DataError, match="no columns but the target"):
        from_huggingface(make(a=[1]), "a")
    with pytest.raises(DataError, match="the dataset has no rows"):
        from_huggingface(make(a=[]))
    with pytest.raises(DataError, match="channels: got 2, expected 1, 3 or 4"):
        from_huggingface(make(a=[1]), channels=2)
    texts = make(a=[1], y=["u"]).to_iterable_dataset()
    with pytest.raises(DataError, match=r"a stream does not know its classes\. Pass labels"):
        from_huggingface(texts, "y")
    unknown = datasets.IterableDataset.from_generator(lambda: iter([{"a": 1, "y": "u"}]))
    with pytest.raises(DataError, match=r"a stream does not know its classes\. Pass labels"):
        from_huggingface(unknown, "y").peek(1)  # type: ignore[union-attr]
    _, y, _ = from_huggingface(texts, "y", labels=["t", "u"]).peek(1)  # type: ignore[union-attr]
    assert y.tolist() == [1]
    dates = make(t=[np.datetime64("2026-01-01", "D").astype(object)])
    with pytest.raises(DataError, match=r"column 't': values of type .* where numbers belong"):
        indexed(dates).fetch(torch.tensor([0]))
