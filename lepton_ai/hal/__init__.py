"""The hardware: torch devices, precision, and the plan that says how a step is computed."""

from lepton_ai.hal.chosen import ChosenPlan, chosen_plans, recall, remember
from lepton_ai.hal.device import applied, get_device, place
from lepton_ai.hal.plan import ExecutionPlan, get_plan

__all__ = [
    "ChosenPlan",
    "ExecutionPlan",
    "applied",
    "chosen_plans",
    "get_device",
    "get_plan",
    "place",
    "recall",
    "remember",
]
