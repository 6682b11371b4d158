"""Files that are whole or not there: written beside their place, flushed, then renamed."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lepton_ai.core.errors import StorageError


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"could not write: {error.strerror or error}",
        at=str(path),
        fix="Nothing was changed there. Free some space or choose another place, then try again.",
    )


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
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _failed(path, error) from error


@contextlib.contextmanager
def atomic_directory(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder that takes `path`'s name when the block ends without an error.

    With `overwrite`, a folder that is there already is replaced in the last moment, and kept if anything fails.

    Raises: StorageError if `path` exists (and not `overwrite`) or cannot be written.
    """
    if path.exists() and not overwrite:
        raise StorageError("exists already", at=str(path), fix="Choose another path, or pass overwrite=True.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise _failed(path, error) from error
    try:
        temporary.chmod(0o755)
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        old = temporary.with_suffix(".old")
        if path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        _flush(path.parent)
        if old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise _failed(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
