"""Several workers, one result: launch them, and let them add up."""

from lepton_ai.distributed.cluster import run_on_cluster
from lepton_ai.distributed.gradients import FACTS, Gradients
from lepton_ai.distributed.joining import joined, present
from lepton_ai.distributed.launch import launch
from lepton_ai.distributed.program import run_program
from lepton_ai.distributed.roll_call import LostWorkerError
from lepton_ai.distributed.workers import Workers, check_shards, check_workers
from lepton_ai.distributed.world import World

__all__ = [
    "FACTS",
    "Gradients",
    "LostWorkerError",
    "Workers",
    "World",
    "check_shards",
    "check_workers",
    "joined",
    "launch",
    "present",
    "run_on_cluster",
    "run_program",
]
