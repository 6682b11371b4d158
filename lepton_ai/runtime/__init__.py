"""Running a bundle's graph."""

from lepton_ai.runtime.base import Runtime
from lepton_ai.runtime.feed import check_feed
from lepton_ai.runtime.memory import check_memory, memory_needed
from lepton_ai.runtime.onnx import OnnxRuntime
from lepton_ai.runtime.opening import RUNTIMES, choose_variant, open_model
from lepton_ai.runtime.replay import GOLDEN_TOLERANCE, replay_golden, time_rows, warm_up

__all__ = [
    "GOLDEN_TOLERANCE",
    "RUNTIMES",
    "OnnxRuntime",
    "Runtime",
    "check_feed",
    "check_memory",
    "choose_variant",
    "memory_needed",
    "open_model",
    "replay_golden",
    "time_rows",
    "warm_up",
]
