"""IDX files, the format MNIST and its kin come in: a folder with four of them."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError, StorageError
from lepton_ai.datasets.kinds import Parts

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_MOST = 2**31  # bytes that a file may unpack to


def load_folder(folder: str | Path) -> Parts:
    """The images uint8 (N, 28, 28) and labels int64 (N,) of the four files in `folder`, each packed (.gz) or not.

    Raises: StorageError naming the files that are missing; DataError naming one that is damaged, or images and
    labels of different number.
    """
    folder = Path(folder)
    found = {name: _find(folder, name) for name in FILES}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise StorageError(
            f"missing: {', '.join(missing)}",
            at=str(folder),
            fix=f"The folder must hold {', '.join(FILES)}, each also as .gz.",
        )
    x_train, y_train, x_test, y_test = (read_idx(path) for path in found.values() if path is not None)
    _check_pair(folder / FILES[0], x_train, y_train)
    _check_pair(folder / FILES[2], x_test, y_test)
    return (x_train, y_train.astype(np.int64)), (x_test, y_test.astype(np.int64))


def _check_pair(at: Path, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> None:
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        what = f"images {images.shape} and labels {labels.shape} do not belong together"
        raise DataError(what, at=str(at), expected="images (N, height, width) and labels (N,)")


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The bytes in one IDX file, in its shape.

    Raises: DataError naming the file if it is no IDX file of bytes, or is truncated, or too long.
    """
    content = _unpack(path)
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise DataError("not an IDX file of bytes", at=str(path), fix="Fetch it again.")
    rank = content[3]
    start = 4 + 4 * rank
    shape = tuple(int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(rank))
    size = 1
    for length in shape:
        size *= length
    if rank == 0 or len(content) != start + size:
        what = f"{len(content)} bytes, but its header says {start + size} for shape {shape}"
        raise DataError(what, at=str(path), fix="The file is truncated or damaged: fetch it again.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _unpack(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            content = file.read(_MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"does not unpack ({error})", at=str(path), fix="Fetch it again.") from error
    if len(content) > _MOST:
        raise DataError(f"unpacks to more than {_MOST} bytes", at=str(path))
    return content
