"""Optional packages: found when they are used, and named when they are not there."""

import importlib
from typing import Any

from lepton_ai.core.errors import MissingExtraError


def load_extra(module: str, *, extra: str, purpose: str) -> Any:
    """Import an optional `module`.

    Any exception counts as missing: a package that is installed but broken fails in its own ways.

    Raises: MissingExtraError naming the extra to install.
    """
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise MissingExtraError(
            f"{purpose} needs the package {module.partition('.')[0]!r}, which does not import here ({error})",
            fix=f"Install it: pip install 'lepton-ai[{extra}]'.",
        ) from error
