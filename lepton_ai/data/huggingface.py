"""Hugging Face data sets: what their Arrow tables hold, taken from there a batch at a time."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lepton_ai.core import DataError, ShapeError, unknown_name
from lepton_ai.data.convert import to_tensor
from lepton_ai.data.encode import encode_labels
from lepton_ai.data.images import BROKEN, MODES, as_pair, convert
from lepton_ai.data.source import Indexed
from lepton_ai.data.stream import Stream
from lepton_ai.data.tree import map_tree

_ROWS = 1_000  # taken from a stream at a time


def from_huggingface(
    dataset: Any,
    target: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    labels: Sequence[str] = (),
    size: int | tuple[int, int] | None = None,
    channels: int = 3,
    buffer: int = 10_000,
) -> "HuggingFaceDataset | Stream":
    """The source for a `datasets.Dataset`, or a Stream for an `IterableDataset`.

    x is the one column that is not the `target`, or of `columns` if given: numbers (B,), lists of one length
    (B, T, ...), texts (B,) as an array of `object`, or images uint8 (B, H, W, C), resized to `size` (height, width) if
    given, in 1, 3 or 4 `channels`. Several columns of single numbers become float32 (B, F), any others a dictionary by
    name. A target of ClassLabel or of texts becomes its number, int64; `labels` are the classes of the texts of a
    stream, which does not know them.

    Columns are read from the Arrow tables a batch at a time; Python meets single rows for images only. A stream is read
    shard by shard, and shuffled and resumed as any `Stream`: by positions, in blocks of `buffer` rows.

    Raises: DataError for missing targets, dates and other objects; ShapeError for lists or images of different
    sizes; UnknownNameError for columns.

    Example:
        >>> import datasets
        >>> rows = datasets.Dataset.from_dict({"a": [1.0, 2.0], "b": [3, 4], "y": ["no", "yes"]})
        >>> source = from_huggingface(rows, target="y")
        >>> source.fetch(torch.tensor([1]))[:2], source.labels
        ((tensor([[2., 4.]]), tensor([1])), ('no', 'yes'))
    """
    kind = type(dataset).__name__
    if not type(dataset).__module__.startswith("datasets.") or kind not in ("Dataset", "IterableDataset"):
        fix = "Choose a split first: dataset['train']." if isinstance(dataset, Mapping) else ""
        expected = "a datasets.Dataset or IterableDataset"
        raise DataError(f"got a {kind}", at="from_huggingface", expected=expected, fix=fix)
    if channels not in MODES:
        raise DataError(at="from_huggingface.channels", got=channels, expected="1, 3 or 4")
    decoder = _Decoder(
        dataset, target, columns, labels, None if size is None else as_pair("from_huggingface", size), channels
    )
    if kind == "Dataset":
        return HuggingFaceDataset(dataset, decoder)

    def read(shard: int, start: int) -> Iterator[Any]:
        part = dataset.shard(num_shards=dataset.num_shards, index=shard) if dataset.num_shards > 1 else dataset
        for table in part.skip(start).with_format("arrow").iter(batch_size=_ROWS):
            yield decoder.rows(table)

    return Stream(range(dataset.num_shards), read, buffer=buffer, labels=decoder.labels, names=decoder.names)


class HuggingFaceDataset(Indexed):
    """A map-style Hugging Face data set; made by `from_huggingface`."""

    def __init__(self, dataset: Any, decoder: "_Decoder") -> None:
        if len(dataset) == 0:
            raise DataError("empty data: the dataset has no rows", at="from_huggingface")
        self._table = dataset.with_format("arrow")
        self._decoder = decoder
        self.labels, self.names = decoder.labels, decoder.names
        self.prefetch = 1 if decoder.images else 0
        self._rows = len(dataset)

    def __len__(self) -> int:
        return self._rows

    def fetch(self, indices: Tensor) -> tuple[Any, Any, None]:
        if len(indices) == 0:  # the shapes are known from a row
            x, y, _ = self.fetch(torch.zeros(1, dtype=torch.int64))
            return map_tree(lambda tensor: tensor[:0], x), map_tree(lambda tensor: tensor[:0], y), None
        x, y = self._decoder.rows(self._table[indices.tolist()])
        return x, y, None


class _Decoder:
    """Knows the columns, and makes x and y of an Arrow table of some rows."""

    def __init__(
        self,
        dataset: Any,
        target: str | None,
        columns: Sequence[str] | None,
        labels: Sequence[str],
        size: tuple[int, int] | None,
        channels: int,
    ) -> None:
        self.target, self.size, self.channels = target, size, channels
        features = dataset.features or {}
        # A stream may not know its columns before its first row is read.
        names = list(features) or list(next(iter(dataset.take(1)), {}))
        for name in (*(columns or ()), *([target] if target else [])):
            if name not in names:
                raise unknown_name("column", name, names, at="from_huggingface")
        self.columns = [name for name in (names if columns is None else columns) if name != target]
        if not self.columns:
            raise DataError("no columns but the target", at="from_huggingface", fix="Name at least one in columns.")
        kinds = {name: type(features.get(name)).__name__ for name in names}
        self.images = {name for name in self.columns if kinds[name] == "Image"}
        single = {name for name in self.columns if kinds[name] == "Value" and _is_number(features[name].dtype)}
        self.matrix = len(self.columns) > 1 and single == set(self.columns)
        self.names = tuple(self.columns) if self.matrix else ()
        self.labels = tuple(labels)
        if target is not None and not labels:
            if kinds[target] == "ClassLabel":
                self.labels = tuple(features[target].names)
            elif kinds[target] == "Value" and "string" in features[target].dtype:
                self.labels = self._texts(dataset, target)

    @staticmethod
    def _texts(dataset: Any, target: str) -> tuple[str, ...]:
        if not hasattr(dataset, "unique"):
            raise _no_classes(target)
        found = dataset.unique(target)
        if None in found:
            raise DataError("missing targets", at=f"column {target!r}", fix="Remove those rows: dataset.filter(...).")
        return tuple(sorted(found))

    def rows(self, table: Any) -> tuple[Any, Tensor | None]:
        found = {name: self._column(name, table.column(name)) for name in self.columns}
        if self.matrix:
            x: Any = torch.stack([found[name].to(torch.float32) for name in self.columns], dim=1)
        else:
            x = found if len(found) > 1 else found[self.columns[0]]
        if self.target is None:
            return x, None
        return x, self._answers(table.column(self.target))

    def _answers(self, column: Any) -> Tensor:
        if column.null_count:
            raise DataError(
                f"{column.null_count} missing targets", at=f"column {self.target!r}", fix="Remove those rows."
            )
        if "string" in str(column.type):
            if not self.labels:
                raise _no_classes(self.target)
            return torch.from_numpy(encode_labels(column.to_pylist(), self.labels, at=f"column {self.target!r}")[0])
        return to_tensor(_numbers(str(self.target), column.combine_chunks()), f"column {self.target!r}")

    def _column(self, name: str, column: Any) -> Any:
        if "string" in str(column.type) and "<" not in str(column.type):
            return np.array([*column.to_pylist(), None], object)[:-1]
        if name in self.images:
            pictures = [self._picture(name, each) for each in column.to_pylist()]
            for picture in pictures:
                if picture.shape != pictures[0].shape:
                    what = f"images of {pictures[0].shape[:2]} and {picture.shape[:2]} (height, width)"
                    fix = "Pass size=(height, width) to bring them to one size."
                    raise ShapeError(what, at=f"column {name!r}", fix=fix)
            return torch.from_numpy(np.stack(pictures))
        return to_tensor(_numbers(name, column.combine_chunks()), f"column {name!r}")

    def _picture(self, name: str, stored: Any) -> npt.NDArray[np.uint8]:
        if stored is None:
            raise DataError("a missing image", at=f"column {name!r}", fix="Remove such rows: dataset.filter(...).")
        content = stored["bytes"]
        try:
            with Image.open(stored["path"] if content is None else io.BytesIO(content)) as opened:
                image = convert(ImageOps.exif_transpose(opened), MODES[self.channels])
        except BROKEN as error:
            where = f" {stored['path']!r}" if stored["path"] else ""
            raise DataError(f"the image{where} does not decode ({error})", at=f"column {name!r}") from error
        if self.size is not None and image.size != self.size[::-1]:
            image = image.resize(self.size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image, np.uint8).reshape(image.height, image.width, self.channels)


def _no_classes(target: str | None) -> DataError:
    fix = "Pass labels=(...), the classes in the order of their numbers."
    return DataError("a stream does not know its classes", at=f"from_huggingface, column {target!r}", fix=fix)


def _numbers(name: str, column: Any) -> npt.NDArray[Any]:
    """An Arrow array of numbers, or of lists of them, as numpy; missing numbers are NaN."""
    column = getattr(column, "storage", column)  # Array2D and its kin are lists in disguise
    if hasattr(column, "flatten") and "list" in str(column.type):
        if column.null_count:
            raise DataError(f"{column.null_count} missing lists", at=f"column {name!r}", fix="Remove those rows.")
        inner = column.flatten()
        width = len(inner) // max(1, len(column))
        lengths = column.value_lengths().to_numpy() if hasattr(column, "value_lengths") else None
        if lengths is not None and (lengths != width).any():
            row = int((lengths != lengths[0]).argmax())
            what = f"lists of different lengths: {lengths[0]} and {lengths[row]}"
            raise ShapeError(what, at=f"column {name!r}", fix="Pad or cut them to one length: dataset.map(...).")
        return _numbers(name, inner).reshape(len(column), width, *_numbers(name, inner).shape[1:])
    if not _is_number(str(column.type)):
        fix = "Turn it into numbers first (dataset.map), or leave it out of columns."
        raise DataError(f"values of type {column.type} where numbers belong", at=f"column {name!r}", fix=fix)
    return np.array(column.to_numpy(zero_copy_only=False))  # a copy: the rows may lie in a file that is mapped


def _is_number(kind: str) -> bool:
    return kind.startswith(("int", "uint", "float", "half", "double", "bool"))
