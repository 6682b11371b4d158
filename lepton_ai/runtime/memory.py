"""Is there enough memory for a model? Asked before it is loaded, since afterwards the kernel asks."""

from lepton_ai.bundle import Bundle
from lepton_ai.core import UnavailableError, memory_available

_ONCE_MORE = 3  # the file's bytes, the parsed graph, and the session's own copy are there together for a moment
_FLOOR = 16 * 2**20  # what even an empty session takes


def memory_needed(bundle: Bundle, variant: str) -> int:
    """How many bytes loading a graph may take at its peak: an estimate from above."""
    return _FLOOR + _ONCE_MORE * bundle.manifest.files[bundle.manifest.graphs[variant].file].size


def check_memory(bundle: Bundle, variant: str, *, available: int | None = None) -> None:
    """Refuse what would not fit; `available` bytes (default: asked of the machine).

    Raises: UnavailableError with both numbers.
    """
    free = memory_available() if available is None else available
    needed = memory_needed(bundle, variant)
    if free is not None and needed > free:
        raise UnavailableError(
            f"loading needs about {_mib(needed)}, {_mib(free)} are free",
            at=f"{bundle.manifest.name} ({variant})",
            fix="Unload another model first, or give the server more memory.",
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
