"""Opening a bundle: everything is checked before anything is used, and nothing in it is ever executed."""

import re
from pathlib import Path

from lepton_ai.bundle.golden import FOLDER
from lepton_ai.bundle.manifest import Manifest, parse_manifest
from lepton_ai.bundle.paths import MANIFEST, check_file_name, regular_file
from lepton_ai.bundle.profile import Profile, parse_profile
from lepton_ai.core import BundleError, sha256, unknown_name

ARCHITECTURE = "architecture.json"
WEIGHTS = "weights.safetensors"
PROFILE = "profile.json"
_REQUEST = re.compile(rf"{FOLDER}/([0-9]{{3,}})\.request")
_MAX_MANIFEST = 64 * 2**20


class Bundle:
    """A finished model on disk. Make one with `Bundle.open`; what it holds does not change while it is open.

    Files that lie in the folder but not in the manifest are not part of the bundle and are never read.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> "Bundle":
        """Read the manifest and check every file it lists: name, kind, size and, with `verify`, SHA-256.

        Raises: BundleError if it is not a bundle, of a future format, incomplete, truncated or tampered with.
        """
        path = Path(path)
        bundle = cls(path, parse_manifest(_read_manifest(path), at=str(path / MANIFEST)))
        for name, entry in bundle.manifest.files.items():
            check_file_name(name, at=f"{path / MANIFEST}: files")
            file = regular_file(path, name)
            size = file.stat().st_size
            if size != entry.size:
                raise BundleError(
                    f"has {size} bytes, the manifest says {entry.size}: it was truncated or changed",
                    at=str(file),
                    fix=_COPY_AGAIN,
                )
            if verify and sha256(file) != entry.sha256:
                raise BundleError(
                    "its content is not what the manifest says (SHA-256 differs): it was damaged or tampered with",
                    at=str(file),
                    fix=_COPY_AGAIN,
                )
        return bundle

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, name={self.manifest.name!r}, graphs={list(self.manifest.graphs)})"

    def __contains__(self, name: object) -> bool:
        return name in self.manifest.files

    def file(self, name: str) -> Path:
        """Where the file `name` lies.

        Raises: UnknownNameError if the manifest does not list it.
        """
        if name not in self.manifest.files:
            raise unknown_name("file", name, list(self.manifest.files), at=str(self.path))
        return self.path / name

    def read(self, name: str) -> bytes:
        """The content of the file `name`.

        Raises: UnknownNameError if the manifest does not list it; BundleError if it cannot be read.
        """
        path = self.file(name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise BundleError(f"cannot be read ({error.strerror})", at=str(path)) from error

    @property
    def weights(self) -> Path | None:
        """Where the safetensors file lies, if there is one."""
        return self.file(WEIGHTS) if WEIGHTS in self else None

    def architecture(self) -> bytes | None:
        """The content of architecture.json, if there is one."""
        return self.read(ARCHITECTURE) if ARCHITECTURE in self else None

    def profile(self) -> Profile | None:
        """The profile of the training data, if there is one.

        Raises: BundleError if it is not a profile that this version reads.
        """
        if PROFILE not in self:
            return None
        return parse_profile(self.read(PROFILE), at=str(self.path / PROFILE))

    def golden(self) -> list[tuple[bytes, bytes]]:
        """Requests with their answers, in order; `decode_request` and `decode_response` read them.

        Raises: BundleError for a request without an answer.
        """
        pairs = []
        for name in sorted(self.manifest.files):
            if _REQUEST.fullmatch(name):
                answer = name.removesuffix("request") + "response"
                if answer not in self:
                    raise BundleError(f"{answer!r} is missing, the answer to {name!r}", at=str(self.path))
                pairs.append((self.read(name), self.read(answer)))
        return pairs


_COPY_AGAIN = "Copy the bundle again, or export the model again."


def _read_manifest(path: Path) -> bytes:
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise BundleError(f"{what}; a bundle is a folder", at=str(path), fix="Check the path.")
    file = path / MANIFEST
    if not file.is_symlink() and not file.exists():
        raise BundleError(
            f"has no {MANIFEST}, so it is not a bundle", at=str(path), fix="Make one: lepton_ai.export(model, path)."
        )
    try:
        if regular_file(path, MANIFEST).stat().st_size > _MAX_MANIFEST:
            raise BundleError(f"is larger than {_MAX_MANIFEST} bytes", at=str(file))
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot be read ({error.strerror})", at=str(file)) from error
