"""A folder with one subfolder for each class, of images, sounds or films: what the three kinds share."""

import abc
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, StorageError, this_machine
from lepton_ai.data.cache import BoundedCache
from lepton_ai.data.remote import Place, folders, name_of
from lepton_ai.data.source import Indexed

Errors = Literal["raise", "skip"]
THREADS = 8  # at most, and no more than cores


class ClassFolder(Indexed):
    """Files in `path/<class>/<file>`: y is int64 (B,), the class's place in sorted `labels`.

    `_decode` makes a row of x of one file: in a few threads, which the order of rows does not depend on. `cache` keeps
    decoded rows.
    """

    prefetch = 2
    noun = "file"

    def __init__(self, path: Place, endings: frozenset[str], errors: Errors, cache_bytes: int | None) -> None:
        kind = type(self).__name__
        if errors not in ("raise", "skip"):
            raise ConfigError(at=f"{kind}.errors", got=errors, expected="'raise' or 'skip'")
        self.path = path if isinstance(path, Path) or "://" in path else Path(path)
        most = this_machine().memory // 8 if cache_bytes is None else cache_bytes
        self.cache: BoundedCache[npt.NDArray[Any]] = BoundedCache(most)
        self.labels, self.files, self._y = scan(self.path, endings, self.noun)
        self.skipped: tuple[Place, ...] = ()

    def _leave_out(self, good: Callable[[Place], bool]) -> None:
        """Keep only the files that are `good`; the others are `skipped`."""
        whole = in_threads(good, self.files)
        self.skipped = tuple(file for file, fine in zip(self.files, whole, strict=True) if not fine)
        self.files = tuple(file for file, fine in zip(self.files, whole, strict=True) if fine)
        self._y = self._y[torch.tensor(whole, dtype=torch.bool)]
        if not self.files:
            raise DataError(f"none of {len(self.skipped)} {self.noun}s decodes", at=str(self.path))

    @abc.abstractmethod
    def _decode(self, file: Place) -> npt.NDArray[Any]:
        """One row of x.

        Raises: DataError naming the file.
        """

    @property
    @abc.abstractmethod
    def _row(self) -> tuple[tuple[int, ...], npt.DTypeLike]:
        """Shape and dtype of a row."""

    def __len__(self) -> int:
        return len(self.files)

    def fetch(self, indices: Tensor) -> tuple[Tensor, Tensor, None]:
        shape, dtype = self._row
        batch = np.empty((len(indices), *shape), dtype)
        files = [self.files[index] for index in indices.tolist()]
        for row, array in enumerate(in_threads(lambda file: self.cache.get(file, lambda: self._decode(file)), files)):
            batch[row] = array
        return torch.from_numpy(batch), self._y[indices], None

    @property
    def y_all(self) -> Any:
        return self._y


def in_threads(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """`work` of each item, in order; the first that fails raises."""
    threads = min(THREADS, this_machine().cores, len(items))
    if threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads, thread_name_prefix="lepton-decode") as pool:
        return list(pool.map(work, items))


def scan(path: Place, endings: frozenset[str], noun: str) -> tuple[tuple[str, ...], tuple[Place, ...], Tensor]:
    """Class names, files and each file's class, all in sorted order.

    Raises: StorageError if there is no such folder; DataError for no classes, or one without files.
    """
    inside = folders(path)
    if inside is None:
        raise StorageError("no such folder", at=str(path), fix="Give the folder that holds one subfolder per class.")
    classes, loose = inside
    if not classes:
        count = len(_files(loose, endings))
        what = f"{count} {noun}s but no class folders" if count else "no class folders"
        example = {"image": "1.png", "sound": "1.wav", "film": "1.mp4"}.get(noun, "1")
        fix = f"Put the {noun}s into one folder per class: path/cat/{example}."
        raise DataError(what, at=str(path), fix=fix)
    files: list[Place] = []
    numbers: list[int] = []
    for label, (name, folder) in enumerate(classes):
        nested, inner = folders(folder) or ([], [])
        found = _files(inner, endings)
        if noun == "film":  # a folder of frames is a film too
            found = sorted([*found, *(place for _, place in nested)], key=name_of)
        if not found:
            shown = ", ".join(each for each, _ in nested[:3])
            fix = f"It holds folders ({shown}): did you mean {str(folder)!r}?" if nested else ""
            raise DataError(f"class {name!r} has no {noun}s", at=str(path), fix=fix or "Add some or remove it.")
        files += found
        numbers += [label] * len(found)
    return tuple(name for name, _ in classes), tuple(files), torch.tensor(numbers, dtype=torch.int64)


def broken(file: Place, noun: str, error: BaseException | str) -> DataError:
    """The error for a file that does not decode."""
    fix = 'Remove the file, or pass errors="skip" to leave such files out.'
    return DataError(f"the {noun} does not decode ({error})", at=str(file), fix=fix)


def _files(files: Sequence[Place], endings: frozenset[str]) -> list[Place]:
    return [file for file in files if Path(name_of(file)).suffix.lower() in endings]
