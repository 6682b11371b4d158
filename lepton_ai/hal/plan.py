"""The execution plan: how a step is computed on this machine, decided once and passed down as data."""

import msgspec

from lepton_ai.core import ConfigError, unknown_name


class ExecutionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Neutral fields change speed alone; numeric ones may change the last bits of a result.

    Neutral: `allocator` (keep freed memory for the next step), `resident` (keep arrays on the device).
    Numeric: `device`, `threads` (None: what torch is set to), `channels_last` (foreign modules too),
    `fused_optimizer`, `flush_denormals` (in training, on a CPU: numbers below 1.2e-38 count as 0, which is several
    times as fast where gradients vanish), `compile`, `precision` ("float32" or "bfloat16" autocast).
    """

    device: str = "auto"
    allocator: bool = True
    resident: bool = True
    threads: int | None = None
    channels_last: bool = True
    fused_optimizer: bool = True
    flush_denormals: bool = True
    compile: bool = False
    precision: str = "float32"

    def describe(self) -> str:
        """What differs from the default, as one would write it.

        Example:
            >>> ExecutionPlan(threads=1, precision="bfloat16").describe()
            "threads=1, precision='bfloat16'"
        """
        default = ExecutionPlan()
        own = [name for name in self.__struct_fields__ if getattr(self, name) != getattr(default, name)]
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in own) or "default"


NAMES = ("default", "auto")
PRECISIONS = ("float32", "bfloat16")


def get_plan(plan: "str | ExecutionPlan") -> ExecutionPlan:
    """A plan from its name or itself, checked. "auto" is the default, from which the race of `fit` sets out.

    Raises: UnknownNameError, ConfigError.
    """
    if isinstance(plan, str):
        if plan not in NAMES:
            raise unknown_name("plan", plan, list(NAMES), at="compile(plan=...)")
        return ExecutionPlan()
    if not isinstance(plan, ExecutionPlan):
        raise ConfigError(at="compile(plan=...)", got=plan, expected='"default", "auto" or an ExecutionPlan')
    if plan.precision not in PRECISIONS:
        raise unknown_name("precision", plan.precision, list(PRECISIONS), at="ExecutionPlan.precision")
    if plan.threads is not None and plan.threads < 1:
        raise ConfigError(at="ExecutionPlan.threads", got=plan.threads, expected="a positive int or None")
    return plan
