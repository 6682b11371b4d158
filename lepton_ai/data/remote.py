"""Files on object stores, through fsspec: found, and fetched into a bounded folder on this machine."""

import contextlib
import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lepton_ai.core import ConfigError, StorageError, load_extra, write_atomic

Place = str | Path
"""A path on this machine, or an address such as `s3://bucket/rows.parquet` that fsspec knows."""


class RemoteCache:
    """Copies of remote files in `folder`, of at most `max_bytes` together; the longest unused go first.

    A copy is used again while the store reports the same size, time and tag for its file. Where there is no `folder`,
    one is made in the system's temporary place when the first file comes, and removed when the process ends.
    """

    def __init__(self, folder: str | Path | None, max_bytes: int) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
            raise ConfigError(at="set_remote_cache.max_bytes", got=max_bytes, expected="a positive number of bytes")
        self.folder = None if folder is None else Path(folder)
        self.max_bytes = max_bytes
        self.fetched = 0
        self._lock = threading.Lock()

    def file(self, address: str) -> Path:
        """A copy of one remote file on this machine.

        Raises: StorageError if it is not there, cannot be read, or is larger than the cache; MissingExtraError.
        """
        system, inner = _open(address)
        with self._lock:
            try:
                size, tag = int(system.size(inner) or 0), str(system.ukey(inner))
                name = hashlib.sha256(f"{address}\0{tag}".encode()).hexdigest()[:32] + _suffixes(inner)
                path = self._home() / name
                if path.is_file() and path.stat().st_size == size:
                    path.touch()
                    return path
                self._make_room(size, address)
                write_atomic(path, system.cat_file(inner))
            except StorageError:
                raise
            except FileNotFoundError as error:
                raise StorageError("no such file", at=address) from error
            except Exception as error:  # each store has errors of its own
                raise StorageError(f"cannot be read ({type(error).__name__}: {error})", at=address) from error
            self.fetched += 1
        return path

    def held(self) -> int:
        """Bytes of all copies."""
        return sum(size for _, size, _ in self._copies())

    def _home(self) -> Path:
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="lepton-remote-"))
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder

    def _make_room(self, size: int, address: str) -> None:
        if size > self.max_bytes:
            fix = f"Give it room: lepton_ai.data.set_remote_cache(max_bytes={size})."
            raise StorageError(f"{size} bytes, more than the cache of {self.max_bytes}", at=address, fix=fix)
        copies = sorted(self._copies())
        held = sum(each for _, each, _ in copies)
        for _, each, path in copies:
            if held + size <= self.max_bytes:
                break
            path.unlink(missing_ok=True)
            held -= each

    def _copies(self) -> Iterator[tuple[int, int, Path]]:
        """When each copy was used last, its size, and the copy. Other processes may remove some meanwhile."""
        for path in self._home().iterdir():
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                yield facts.st_mtime_ns, facts.st_size, path


_cache = RemoteCache(None, 10 * 2**30)


def set_remote_cache(folder: str | Path | None = None, max_bytes: int = 10 * 2**30) -> RemoteCache:
    """Where copies of remote files are kept in this process, and how many bytes of them: 10 GiB in a temporary folder
    unless it is called.

    Raises: ConfigError for a bound below 1.

    Example:
        >>> set_remote_cache(max_bytes=2**30).held()
        0
    """
    global _cache  # noqa: PLW0603 - one process-wide place is what the call promises
    _cache = RemoteCache(folder, max_bytes)
    return _cache


def is_remote(place: Place) -> bool:
    """Whether `place` is an address with a scheme, and no path."""
    return isinstance(place, str) and "://" in place and not place.startswith("file://")


def local(place: Place) -> Path:
    """The file on this machine: itself, or a copy of the remote one.

    Raises: StorageError if there is none.
    """
    if is_remote(place):
        return _cache.file(str(place))
    path = Path(str(place).removeprefix("file://"))
    if not path.is_file():
        raise StorageError("no such file", at=str(path))
    return path


def stamp(place: Place) -> list[Any]:
    """What tells one state of a file from another, for those who keep what they made of it.

    Raises: StorageError if there is none.
    """
    if is_remote(place):
        system, inner = _open(str(place))
        try:
            return [place, str(system.ukey(inner))]
        except FileNotFoundError as error:
            raise StorageError("no such file", at=str(place)) from error
    path = local(place)
    facts = path.stat()
    return [str(path.resolve()), facts.st_size, facts.st_mtime_ns]


def expand(places: Place | Sequence[Place], suffixes: Sequence[str] = ()) -> tuple[Place, ...]:
    """The files that `places` name: paths, addresses, patterns with `*`, `?` or `[`, and folders (of which those files
    that end in one of `suffixes`). Sorted within each pattern and folder.

    Raises: StorageError if a file, or every file of a pattern or folder, is missing.
    """
    given = [places] if isinstance(places, str | Path) else list(places)
    if not given:
        raise StorageError("no files", at="path", fix="Give at least one path.")
    found: list[Place] = []
    for place in given:
        if is_remote(place):
            found += _remote_files(str(place), suffixes)
        else:
            found += _local_files(Path(str(place).removeprefix("file://")), suffixes)
    return tuple(found)


def folders(place: Place) -> tuple[list[tuple[str, Place]], list[Place]] | None:
    """The folders in a folder, by name, and its files; both sorted, without hidden ones. None if it is not there."""
    if not is_remote(place):
        path = Path(str(place).removeprefix("file://"))
        if not path.is_dir():
            return None
        inside = sorted(each for each in path.iterdir() if not each.name.startswith("."))
        return [(each.name, each) for each in inside if each.is_dir()], [each for each in inside if each.is_file()]
    system, inner = _open(str(place))
    try:
        listed = sorted(system.ls(inner, detail=True), key=lambda entry: str(entry["name"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    kinds: dict[str, list[tuple[str, Place]]] = {"directory": [], "file": []}
    for entry in listed:
        name = str(entry["name"]).rstrip("/").rpartition("/")[2]
        if not name.startswith(".") and entry["type"] in kinds:
            kinds[entry["type"]].append((name, str(system.unstrip_protocol(entry["name"]))))
    return kinds["directory"], [address for _, address in kinds["file"]]


def name_of(place: Place) -> str:
    """The last part of a path or address."""
    return str(place).rstrip("/").rpartition("/")[2] if is_remote(place) else Path(place).name


def _open(address: str) -> tuple[Any, str]:
    fsspec = load_extra("fsspec", extra="remote", purpose=f"reading {address}")
    try:
        system, inner = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:  # a protocol that is unknown, or whose own package is not there
        raise StorageError(f"no way to read such an address ({error})", at=address) from error
    return system, str(inner)


def _remote_files(address: str, suffixes: Sequence[str]) -> list[Place]:
    system, inner = _open(address)
    if _has_wildcard(inner):
        found = [str(system.unstrip_protocol(name)) for name in sorted(system.glob(inner))]
        if not found:
            raise StorageError("no file matches", at=address)
        return list(found)
    if system.isdir(inner):
        listed = folders(address)
        return _ending(listed[1] if listed else [], suffixes, address)
    if not system.exists(inner):
        raise StorageError("no such file", at=address)
    return [address]


def _local_files(path: Path, suffixes: Sequence[str]) -> list[Place]:
    if path.is_dir():
        return _ending(sorted(each for each in path.iterdir() if each.is_file()), suffixes, str(path))
    if path.is_file():
        return [path]
    if not _has_wildcard(str(path)):
        raise StorageError("no such file", at=str(path))
    root = Path(path.anchor) if path.is_absolute() else Path()
    found = sorted(each for each in root.glob(str(path.relative_to(root))) if each.is_file())
    if not found:
        raise StorageError("no file matches", at=str(path))
    return list(found)


def _ending(files: Sequence[Place], suffixes: Sequence[str], at: str) -> list[Place]:
    found = [each for each in files if name_of(each).lower().endswith(tuple(suffixes) or "")]
    if not found:
        raise StorageError(f"no file that ends in {' or '.join(suffixes)}", at=at)
    return found


def _has_wildcard(path: str) -> bool:
    return any(mark in path for mark in "*?[")


def _suffixes(path: str) -> str:
    return "".join(Path(path).suffixes[-2:])
