"""Writing a bundle: whole or not at all."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from lepton_ai.bundle.golden import FOLDER, decode_request, decode_response
from lepton_ai.bundle.manifest import File, Manifest, parse_manifest
from lepton_ai.bundle.paths import MANIFEST, check_file_name, list_files
from lepton_ai.bundle.profile import Profile, encode_profile, parse_profile
from lepton_ai.bundle.reader import PROFILE, Bundle
from lepton_ai.core import BundleError, LeptonError, StorageError, UsageError, atomic_directory, sha256


class Draft:
    """A bundle in the making. `manifest` is the old one while a bundle is amended, and the final one after `finish`."""

    def __init__(self, folder: Path, manifest: Manifest | None = None) -> None:
        self.folder = folder
        self.manifest = manifest
        self.finished = False

    def write(self, name: str, content: bytes) -> Path:
        """Put a file into the bundle, replacing one of that name. Tools that write for themselves use `folder`.

        Raises: BundleError for a name that leads outside; UsageError after `finish`.
        """
        if self.finished:
            raise UsageError("the bundle is finished", at=f"Draft.write({name!r})", fix="Write before finish().")
        if check_file_name(name, at="Draft.write") == MANIFEST:
            raise BundleError("the manifest is written by finish()", at="Draft.write")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def write_profile(self, profile: Profile) -> Path:
        """Put the profile in.

        Raises: BundleError if a figure of it is NaN or infinite.
        """
        return self.write(PROFILE, encode_profile(profile))

    def write_golden(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Put in golden pairs, made by `encode_request` and `encode_response`, in place of those that are there."""
        shutil.rmtree(self.folder / FOLDER, ignore_errors=True)
        for index, (request, response) in enumerate(pairs):
            self.write(f"{FOLDER}/{index:03}.request", request)
            self.write(f"{FOLDER}/{index:03}.response", response)

    def finish(self, manifest: Manifest) -> Manifest:
        """Hash every file, write the manifest with them, and return it. What would not read back is refused here.

        Raises: BundleError that names the field or file; UsageError if called twice.
        """
        if self.finished:
            raise UsageError("the bundle is finished already", at="Draft.finish")
        names = list(list_files(self.folder))
        files = {
            name: File(sha256=sha256(self.folder / name), size=(self.folder / name).stat().st_size) for name in names
        }
        content = msgspec.json.encode(msgspec.structs.replace(manifest, files=files))
        self.manifest = parse_manifest(content, at="manifest", fix="NaN and infinity cannot be stored.")
        if PROFILE in files:
            parse_profile((self.folder / PROFILE).read_bytes())
        for index, (request, response) in enumerate(Bundle(self.folder, self.manifest).golden()):
            try:
                decode_request(request)
                decode_response(response)
            except LeptonError as error:
                raise BundleError(f"is not a pair of protocol bodies ({error})", at=f"golden pair {index}") from error
        (self.folder / MANIFEST).write_bytes(msgspec.json.format(content, indent=2) + b"\n")
        self.finished = True
        return self.manifest


@contextlib.contextmanager
def create(path: str | Path, *, overwrite: bool = False) -> Iterator[Draft]:
    """Write a bundle at `path`; it is there once the block ends, and not at all if anything fails.

    With `overwrite`, a bundle or an empty folder may be replaced; nothing else ever is.

    Raises: StorageError if something is there or it cannot be written; UsageError if `finish` was not called.

    Example:
        >>> import tempfile
        >>> from lepton_ai.bundle.manifest import Signature, TensorSpec, timestamp
        >>> x, y = (TensorSpec(name=name, dtype="FP32", shape=(-1, 2)) for name in "xy")
        >>> manifest = Manifest(
        ...     name="double", task="other", signature=Signature(inputs=(x,), outputs=(y,)), created=timestamp()
        ... )
        >>> with tempfile.TemporaryDirectory() as folder, create(f"{folder}/double.lepton") as draft:
        ...     _ = draft.write("card.md", b"# double")
        ...     list(draft.finish(manifest).files)
        ['card.md']
    """
    path = Path(path).resolve()  # a link keeps pointing there
    if overwrite and path.exists() and not (path / MANIFEST).is_file() and not _is_empty_folder(path):
        raise StorageError(
            "is there and is not a bundle, so it will not be overwritten", at=str(path), fix="Choose another path."
        )
    with _draft(path, overwrite) as draft:
        yield draft


@contextlib.contextmanager
def amend(path: str | Path) -> Iterator[Draft]:
    """Change the bundle at `path`: the draft holds its files and its manifest, and takes its place when the block ends.

    If anything fails, the old bundle stays.

    Raises: BundleError if it is not an intact bundle; otherwise as `create`.
    """
    bundle = Bundle.open(path)
    with _draft(bundle.path.resolve(), True) as draft:
        for name in bundle.manifest.files:
            target = draft.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, target)
        draft.manifest = bundle.manifest
        yield draft


@contextlib.contextmanager
def _draft(path: Path, overwrite: bool) -> Iterator[Draft]:
    with atomic_directory(path, overwrite=overwrite) as folder:
        draft = Draft(folder)
        yield draft
        if not draft.finished:
            raise UsageError(
                "the block ended without finish()", at=str(path), fix="Call draft.finish(manifest) as its last line."
            )


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
