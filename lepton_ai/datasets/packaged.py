"""Data files inside installed packages, found without importing the package, and read as numbers."""

import gzip
import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError, MissingExtraError, cache_folder, sha256, write_atomic

# What reading a damaged file raises: EOFError and zlib's error come from gzip.
_BROKEN = (OSError, EOFError, ValueError)


def find_file(package: str, relative: str, *, purpose: str) -> Path:
    """Where `relative` lies in the installed `package`.

    Raises: MissingExtraError if the package, or the file in it, is not there.
    """
    spec = importlib.util.find_spec(package)
    origin = None if spec is None else spec.origin
    path = None if origin is None else Path(origin).parent / relative
    if path is None or not path.is_file():
        what = "is not installed" if origin is None else f"has no file {relative} in the version installed here"
        raise MissingExtraError(
            f"{purpose} comes from the package {package!r}, which {what}",
            fix="Install it: pip install 'lepton-ai[demo]'.",
        )
    return path


def read_numbers(path: Path, *, separator: str | None = ",", header: bool = False) -> npt.NDArray[np.float64]:
    """The numbers (rows, columns) in a text file, packed (.gz) or not, without its first line if that is a `header`.

    Raises: DataError naming the file if it is damaged.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return np.loadtxt(io.BytesIO(content), delimiter=separator, skiprows=int(header), ndmin=2)
    except _BROKEN as error:
        raise DataError(f"the file is damaged ({error})", at=str(path), fix="Install its package again.") from error


def read_cached(source: Path, name: str, shape: tuple[int, ...], cache_dir: str | Path | None) -> npt.NDArray[np.uint8]:
    """Bytes (`shape`) from a text file of numbers 0 to 255, kept as .npy beside the digest of that file.

    A cache that is damaged is made anew; one that cannot be written is done without.

    Raises: DataError if the file does not hold those numbers.
    """
    folder = cache_folder(cache_dir)
    cached = None if folder is None else folder / f"{name}-{sha256(source)[:16]}.npy"
    if cached is not None and cached.is_file():
        try:
            array = np.lib.format.read_array(io.BytesIO(cached.read_bytes()), allow_pickle=False)
            if array.shape == shape and array.dtype == np.uint8:
                return np.asarray(array)
        except _BROKEN:
            pass
    numbers = read_numbers(source)
    if numbers.shape != shape or numbers.min() < 0 or numbers.max() > 255:
        raise DataError(at=str(source), got=numbers.shape, expected=f"{shape}, numbers from 0 to 255")
    array = numbers.astype(np.uint8)
    if cached is not None:
        try:
            write_atomic(cached, _npy(array))
        except OSError:
            pass  # a read-only home costs the time to read the text again, no more
    return array


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
