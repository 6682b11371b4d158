"""File names inside a bundle: plain relative paths of regular files, and nothing that leads outside."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from lepton_ai.core import BundleError

MANIFEST = "manifest.json"
_PART = re.compile(r"[^\\/:\x00-\x1f\x7f]+")


def check_file_name(name: str, *, at: str = "files") -> str:
    """`name` itself if it is a relative path with forward slashes.

    Raises: BundleError for an absolute path, `..`, a backslash, an empty part or a control character.

    Example:
        >>> check_file_name("variants/fp32/model.onnx")
        'variants/fp32/model.onnx'
    """
    if any(part in ("", ".", "..") or not _PART.fullmatch(part) for part in name.split("/")):
        raise BundleError(
            "a file name that may lead outside the bundle",
            at=at,
            got=name,
            expected="a relative path like 'golden/000.request'",
        )
    return name


def regular_file(folder: Path, name: str) -> Path:
    """The path of `name` in `folder`, once it is certain that no part of it is a link.

    Raises: BundleError if it is missing, a symbolic link, or not a regular file.
    """
    path = folder
    for part in name.split("/"):
        path = path / part
        try:
            mode = path.lstat().st_mode
        except OSError as error:
            raise BundleError(
                "is missing from the bundle", at=str(folder / name), fix="Copy the bundle again, or export it again."
            ) from error
        if stat.S_ISLNK(mode):
            raise BundleError("is a symbolic link, which bundles do not have", at=str(path))
    if not stat.S_ISREG(mode):
        raise BundleError("is not a regular file", at=str(path))
    return path


def list_files(folder: Path) -> Iterator[str]:
    """The names of all files but the manifest, sorted.

    Raises: BundleError for links and for names that a bundle cannot hold.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if name != MANIFEST:
            regular_file(folder, check_file_name(name, at=str(folder)))
            yield name
