"""A folder of bundles: where models and their versions are found by name.

    models/digits.lepton/                 digits, version 1
    models/reviews/3/, models/reviews/4/  reviews, versions 3 and 4 (also 3.lepton/)

Only names out of this folder are ever looked at; no path comes from a request.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from lepton_ai.bundle import Bundle
from lepton_ai.core import ConfigError, NotFoundError, unknown_name
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.model import ServedModel

SUFFIX = ".lepton"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


class Repository:
    """The bundles below `folder`. `variant` is which graph of each to run.

    Raises: ConfigError if it is not a folder.
    """

    def __init__(self, folder: str | Path, *, variant: str | None = None) -> None:
        self.folder = Path(folder)
        self._variant = variant
        if not self.folder.is_dir():
            raise ConfigError(
                at="repository", got=str(folder), expected="a folder of bundles", fix="Make it, and put bundles there."
            )

    def scan(self) -> dict[str, dict[str, Path]]:
        """Every model's versions, oldest first, and where they lie. Links and what has no manifest are passed over."""
        found: dict[str, dict[str, Path]] = {}
        for path in sorted(self.folder.iterdir()):
            name = path.name.removesuffix(SUFFIX)
            if path.is_symlink() or not path.is_dir() or not _NAME.fullmatch(name):
                continue
            if _is_bundle(path):
                found.setdefault(name, {})["1"] = path
                continue
            versions = {each.name.removesuffix(SUFFIX): each for each in path.iterdir() if _is_bundle(each)}
            numbered = {version: each for version, each in versions.items() if _VERSION.fullmatch(version)}
            if numbered:
                found.setdefault(name, {}).update(sorted(numbered.items(), key=lambda item: int(item[0])))
        return found

    def find(self, name: str, version: str = "") -> tuple[str, Path]:
        """The version (default: the newest) and where it lies.

        Raises: NotFoundError.
        """
        known = self.scan()
        versions = known.get(name)
        if versions is None:
            raise NotFoundError(str(unknown_name("model", name[:128], list(known))))
        version = version or max(versions, key=int)
        if version not in versions:
            raise NotFoundError(
                f"model {name!r} has no version {version[:32]!r} in the repository",
                fix=f"Known: {', '.join(versions)}.",
            )
        return version, versions[version]

    def load_all(self, config: ServerConfig) -> Iterator[ServedModel]:
        """The newest version of every model.

        Raises: BundleError, UnavailableError.
        """
        for name, versions in self.scan().items():
            version = max(versions, key=int)
            yield self.load(name, version, versions[version], config)

    def load(self, name: str, version: str, path: Path, config: ServerConfig) -> ServedModel:
        """One bundle, verified, warm and proven by its golden pairs.

        Raises: BundleError, UnavailableError.
        """
        return ServedModel.load(Bundle.open(path), name=name, version=version, variant=self._variant, config=config)


def _is_bundle(path: Path) -> bool:
    return not path.is_symlink() and (path / "manifest.json").is_file()
