"""What every runtime does."""

from collections.abc import Mapping
from typing import Protocol

from lepton_ai.bundle import Array, Signature


class Runtime(Protocol):
    """Runs one graph.

    `run` may be called from several threads at once, blocks until the answer is there, and keeps nothing of its
    arguments. BYTES tensors are arrays of `object` whose elements are `str` (or UTF-8 `bytes`, going in).
    Between `close` and the last reference nothing may be run.
    """

    @property
    def signature(self) -> Signature:
        """The tensors that `run` takes and gives."""

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs, by name and in the signature's order, for exactly the inputs of the signature.

        Raises: ShapeError or UnknownNameError for inputs that do not fit the signature; DataError for content that
        the graph cannot compute; UsageError after `close`.
        """

    def close(self) -> None:
        """Free the graph's memory. Closing twice is allowed."""
