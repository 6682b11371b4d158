"""Counter-based randomness: the same bits in numpy and torch, from a seed and a place."""

from lepton_ai.rng.context import StepContext, current_step, step_context
from lepton_ai.rng.counter import derive, draw, get_seed, mix, permutation, set_seed

__all__ = [
    "StepContext",
    "current_step",
    "derive",
    "draw",
    "get_seed",
    "mix",
    "permutation",
    "set_seed",
    "step_context",
]
