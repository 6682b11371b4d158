"""Files that are whole or not there: written beside their place, flushed, then renamed."""

import contextlib
import ctypes
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lepton_ai.core.errors import StorageError

# Of Linux' renameat2: paths are taken from the working directory, and the two names are swapped.
_WORKING_DIRECTORY, _EXCHANGE = -100, 2


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(given: str | Path | None = None) -> Path | None:
    """`given`, or this user's cache folder; None where there is no home."""
    if given is not None:
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    place = {"darwin": "Library/Caches/lepton", "win32": "AppData/Local/lepton/Cache"}
    return home / place.get(sys.platform, ".cache/lepton")


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` so that `path` holds the old bytes or the new ones, never a part.

    Raises: StorageError if it cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        _remove(temporary)


@contextlib.contextmanager
def atomic_directory(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder that takes `path`'s name when the block ends without an error.

    With `overwrite`, what is there already is replaced in the last moment, and kept if anything fails. Linux swaps the
    two in one step, so that even a process killed in that moment leaves one of them whole at `path`.

    Raises: StorageError if `path` exists (and not `overwrite`) or cannot be written.
    """
    try:
        if not overwrite and path.exists():
            raise StorageError("exists already", at=str(path), fix="Choose another path, or pass overwrite=True.")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except StorageError:
        raise
    except OSError as error:
        raise _failed(path, error) from error
    try:
        temporary.chmod(0o755)
        yield temporary
        for file in (*temporary.rglob("*"), temporary):
            _flush(file)
        _move(temporary, path)
        _flush(path.parent)
    except StorageError:
        raise
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        _remove(temporary)


def _move(folder: Path, path: Path) -> None:
    """Let `path` be `folder`. What was at `path` is there still if this fails; else `folder` may be it, or nothing."""
    if not path.exists():
        folder.rename(path)
    elif not _exchange(folder, path):
        _replace(folder, path)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, where kernel and file system can."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    return bool(rename(_WORKING_DIRECTORY, names[0], _WORKING_DIRECTORY, names[1], _EXCHANGE) == 0)


def _replace(folder: Path, path: Path) -> None:
    """Swap in two steps. A process that is killed between them leaves what was at `path` beside it, as `.old`."""
    old = folder.with_suffix(".old")
    try:
        path.rename(old)
        folder.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        if path.exists():
            _remove(old)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _failed(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"could not write: {error.strerror or error}",
        at=str(path),
        fix="Nothing was changed there. Free some space or choose another place, then try again.",
    )
