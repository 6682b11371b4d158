"""Files are whole or not there: when the disk is full, on Ctrl-C, when the process is killed."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.core import StorageError, atomic_directory, cache_folder, files, sha256, write_atomic

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    return fail


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def replace(path: Path, text: str = "new") -> None:
    with atomic_directory(path, overwrite=True) as folder:
        (folder / "file").write_text(text)
        (folder / "sub").mkdir()
        (folder / "sub" / "other").write_text(text)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# -- one file ----------------------------------------------------------------------------------------------------


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "made" / "for" / "file.txt"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write_bytes", "fsync", "replace"])
def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr(os if step == "fsync" else Path, step, failing(error))
    with pytest.raises(BaseException) as caught:
        write_atomic(path, b"new")
    if isinstance(error, OSError):
        assert isinstance(caught.value, StorageError)
        assert str(caught.value) == (
            f"{path}: could not write: No space left on device. Nothing was changed there. "
            "Free some space or choose another place, then try again."
        )
    else:
        assert caught.value is error
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    with pytest.raises(StorageError, match="could not write"):
        write_atomic(tmp_path / "place", b"new")
    assert names(tmp_path) == ["place"]


# -- a folder ----------------------------------------------------------------------------------------------------


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bundle"
    with atomic_directory(path) as folder:
        assert not path.exists() and folder.parent == path.parent
        (folder / "file").write_text("new")
    assert names(path) == ["file"] and names(path.parent) == ["bundle"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    expected = r"bundle: exists already\. Choose another path, or pass overwrite=True\.$"
    with pytest.raises(StorageError, match=expected), atomic_directory(tmp_path / "bundle"):
        raise AssertionError("the block must not be entered")
    assert names(tmp_path) == ["bundle"]


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="could not write"), atomic_directory(tmp_path / "file" / "bundle"):
        raise AssertionError("the block must not be entered")


@pytest.mark.parametrize("in_one_step", [True, False])
@pytest.mark.parametrize("old", ["folder", "file", "link", "nothing"])
def test_whatever_is_there_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool, old: str
) -> None:
    if not in_one_step:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    path, target = tmp_path / "bundle", tmp_path / "target"
    target.mkdir()
    (target / "kept").touch()
    if old == "folder":
        path.mkdir()
        (path / "stale").touch()
    elif old == "file":
        path.write_text("old")
    elif old == "link":
        path.symlink_to(target)
    replace(path)
    assert names(path) == ["file", "sub"] and not path.is_symlink()
    assert names(tmp_path) == ["bundle", "target"]
    assert names(target) == ["kept"]


@pytest.mark.parametrize("in_one_step", [True, False])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["block", "fsync", "rename"])
def test_a_folder_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException, in_one_step: bool
) -> None:
    path = tmp_path / "bundle"
    replace(path, "old")
    if not in_one_step or step == "rename":
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    if step == "block":
        monkeypatch.setattr(Path, "write_text", failing(error))
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", failing(error))
    else:
        rename = Path.rename

        def fail_for_the_new_one(self: Path, target: Path) -> Path:
            if self.suffix == ".part":
                raise error
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(StorageError if isinstance(error, OSError) else KeyboardInterrupt):
        replace(path)
    monkeypatch.undo()
    assert (path / "file").read_text() == "old" and names(path) == ["file", "sub"]
    assert names(tmp_path) == ["bundle"]


def test_an_error_of_the_block_comes_through_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "bundle") as folder:
        (folder / "file").touch()
        raise ZeroDivisionError
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from lepton_ai.core import atomic_directory, files

def killed(*args):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "before":
    files._move = killed
elif sys.argv[2] == "after":
    files._remove = killed
with atomic_directory(Path(sys.argv[1]), overwrite=True) as folder:
    (folder / "file").write_text("new")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux swaps two folders in one step")
@pytest.mark.parametrize(("moment", "text"), [("before", "old"), ("after", "new")])
def test_a_killed_process_leaves_the_old_folder_or_the_new_one(tmp_path: Path, moment: str, text: str) -> None:
    path = tmp_path / "bundle"
    replace(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (path / "file").read_text() == text
    replace(path, "next")  # what the dead left beside it is in nobody's way
    assert (path / "file").read_text() == "next"


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder(tmp_path) == tmp_path
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert cache_folder(None) == tmp_path / ".cache" / "lepton"

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder(None) is None
