"""Tables on disk: columns decoded once, and mapped into memory, which holds only the pages that are read."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import StorageError, atomic_directory
from lepton_ai.data.columns import Chunk, Kinds, Layout
from lepton_ai.data.convert import share
from lepton_ai.data.source import Indexed

_MANIFEST, _X, _Y = "columns.json", "x.npy", "y.npy"
_ROWS = 65_536  # rewritten at a time


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of decoded columns holds; `key` stands for what they were decoded from, and how."""

    version: int = 1
    key: str
    rows: int
    layout: Layout


class DiskTable(Indexed):
    """A table decoded into `folder`: features as those of `Table.features`, float32 (B, F), and the target.

    Memory holds the pages of the files that were read lately, which the system gives up when it needs them; a batch is
    copied out of them. `read_csv`, `read_jsonl` and `read_sql` make one when they are given `cache`.

    Raises: StorageError if the folder holds no whole table.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = _manifest(self.folder)
        if manifest is None:
            raise StorageError("no table was decoded here, or not all of it", at=str(folder))
        self.layout = manifest.layout
        self.labels, self.names = self.layout.labels, self.layout.names
        self._x: npt.NDArray[Any] = np.load(self.folder / _X, mmap_mode="r", allow_pickle=False)
        self._y: Tensor | None = None
        if self.layout.target is not None:
            self._y = share(np.load(self.folder / _Y, mmap_mode="r", allow_pickle=False))

    def __len__(self) -> int:
        return len(self._x)

    def fetch(self, indices: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x = self.layout.expand(np.asarray(self._x[indices.numpy()]))
        return x, None if self._y is None else self._y[indices], None

    @property
    def y_all(self) -> Any:
        return self._y


def decode_once(
    folder: str | Path, key: object, chunks: Callable[[], Iterable[Chunk]], target: str | None
) -> DiskTable:
    """The table in `folder`, if it was decoded from `key`; else `chunks` are decoded into it, one at a time.

    Raises: StorageError if the folder holds anything else, or cannot be written; as `Kinds`.
    """
    folder = Path(folder)
    digest = hashlib.sha256(msgspec.json.encode([key, target])).hexdigest()
    manifest = _manifest(folder)
    if manifest is None or manifest.key != digest:
        if folder.exists() and not (folder / _MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
            raise StorageError("holds other things than a decoded table", at=str(folder), fix="Give an empty folder.")
        with atomic_directory(folder, overwrite=True) as unfinished:
            _write(unfinished, digest, chunks(), target)
    return DiskTable(folder)


def _write(folder: Path, key: str, chunks: Iterable[Chunk], target: str | None) -> None:
    kinds = Kinds(target)
    with (folder / _X).open("wb+") as x, (folder / _Y).open("wb+") as y:
        widths: list[str] = []
        for chunk in chunks:
            kinds.add(chunk)
            if not widths:
                widths = [name for name in chunk if name != target]
                _header(x, np.float32, (0, len(widths)))
                _header(y, np.float64, (0,))
            columns = [kinds.codes(name, chunk[name]).astype(np.float32) for name in widths]
            np.stack(columns, axis=1).tofile(x) if columns else None
            if target is not None:
                kinds.codes(target, chunk[target]).tofile(y)
        layout = kinds.layout()
        _header(x, np.float32, (kinds.rows, len(widths)))
        _header(y, np.float64, (kinds.rows if target is not None else 0,))
    _rank_texts(folder, kinds, layout)
    _finish_target(folder, kinds, layout)
    manifest = Manifest(key=key, rows=kinds.rows, layout=layout)
    (folder / _MANIFEST).write_bytes(msgspec.json.encode(manifest))


def _header(file: BinaryIO, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> None:
    """The first bytes of an .npy file, which numpy pads so that more rows take no more of them."""
    file.seek(0)
    described = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    file.flush()


def _rank_texts(folder: Path, kinds: Kinds, layout: Layout) -> None:
    """Texts were numbered as they came; now that all are known, number them as they sort."""
    ranked = [(place, kinds.ranks(kind.name)) for place, kind in enumerate(layout.features) if kind.categories]
    if not ranked:
        return
    x = np.load(folder / _X, mmap_mode="r+", allow_pickle=False)
    for first in range(0, len(x), _ROWS):
        for place, ranks in ranked:
            part = x[first : first + _ROWS, place]
            there = ~np.isnan(part)
            part[there] = ranks[part[there].astype(np.int64)]
    x.flush()


def _finish_target(folder: Path, kinds: Kinds, layout: Layout) -> None:
    """The target in the dtype that `Table.target_values` gives it."""
    target = layout.target
    if target is None:
        (folder / _Y).unlink()
        return
    found = np.load(folder / _Y, mmap_mode="r", allow_pickle=False)
    whole = target.whole or target.categories is not None
    with (folder / "y.part").open("wb") as file:
        _header(file, np.int64 if whole else np.float32, (len(found),))
        for first in range(0, len(found), _ROWS):
            part = np.asarray(found[first : first + _ROWS])
            if target.categories is not None:
                part = kinds.ranks(target.name)[part.astype(np.int64)]
            part.astype(np.int64 if whole else np.float32).tofile(file)
    (folder / "y.part").replace(folder / _Y)


def _manifest(folder: Path) -> Manifest | None:
    """What the folder says it holds, if that is so: files of the right length."""
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
        names = [_X] if manifest.layout.target is None else [_X, _Y]
        arrays = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in names]
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    whole = manifest.version == 1 and all(len(array) == manifest.rows for array in arrays)
    return manifest if whole and torch.Size(arrays[0].shape)[1:] == (len(manifest.layout.features),) else None
