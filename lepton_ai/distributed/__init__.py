"""Several workers, one result: launch them, and let them add up."""

from lepton_ai.distributed.launch import launch
from lepton_ai.distributed.world import World

__all__ = ["World", "launch"]
