"""Where the time of a step goes: torch's profiler over a few steps, on request."""

import logging
import sys
import tempfile
from pathlib import Path

import torch

from lepton_ai.core import ConfigError, write_atomic
from lepton_ai.training.callbacks import Callback, Logs

log = logging.getLogger("lepton_ai.training")

_ACTIVITIES = {"cuda": torch.profiler.ProfilerActivity.CUDA, "xpu": torch.profiler.ProfilerActivity.XPU}
_ROWS = 10


class Profile(Callback):
    """Trace the steps from number `steps[0]` to before `steps[1]` of this process, counted from 0.

    The first steps are slower than those that follow: leave them out. The trace goes to `path` in Chrome's format
    (JSON; packed if the name ends in .gz), for chrome://tracing or ui.perfetto.dev; it is whole or not there. The
    operators that took most time go to standard output, and are kept in `table`. Training ends sooner: what was traced
    so far is written. The weights become what they would have become anyway.

    Raises: ConfigError if `steps` are not two numbers, the first at least 0 and below the second.

    Example:
        >>> profile = Profile("trace.json", steps=(10, 15))  # fit(..., callbacks=[profile])
    """

    def __init__(self, path: str | Path, steps: tuple[int, int] = (10, 15)) -> None:
        whole = len(steps) == 2 and all(isinstance(each, int) and not isinstance(each, bool) for each in steps)
        if not whole or not 0 <= steps[0] < steps[1]:
            raise ConfigError(
                at="Profile.steps", got=steps, expected="the first step and the one after the last, as (10, 15)"
            )
        self.path, self.steps = Path(path), steps
        self.table = ""
        self._profiler: torch.profiler.profile | None = None

    def on_train_begin(self) -> None:
        self._count, self.table = 0, ""
        self._turn()

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        self._count += 1
        self._turn()

    def on_train_end(self) -> None:
        if self._profiler is not None:
            self._finish()
        elif self._count < self.steps[0]:
            log.warning("no profile: it begins with step %d, training had %d", self.steps[0], self._count)

    def _turn(self) -> None:
        """Begin or end, if it is time to."""
        if self._count == self.steps[0]:
            kind = next((each.device.type for each in self.model.parameters()), "cpu")
            extra = [_ACTIVITIES[kind]] if kind in _ACTIVITIES else []
            self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU, *extra])
            self._profiler.start()
        elif self._count == self.steps[1] and self._profiler is not None:
            self._finish()

    def _finish(self) -> None:
        profiler, self._profiler = self._profiler, None
        assert profiler is not None
        profiler.stop()
        made = self._count - self.steps[0]
        self.table = operator_table(profiler, made)
        try:
            with tempfile.TemporaryDirectory(prefix="lepton-") as folder:
                trace = Path(folder) / f"trace{'.json.gz' if self.path.suffix == '.gz' else '.json'}"
                profiler.export_chrome_trace(str(trace))
                write_atomic(self.path, trace.read_bytes())
        except (OSError, RuntimeError) as error:
            log.warning("training goes on without the profile: %s", error)
            return
        sys.stdout.write(f"profile of {made} steps: {self.path}\n{self.table}\n")
        sys.stdout.flush()


def operator_table(profiler: torch.profiler.profile, steps: int) -> str:
    """The operators that took most time by themselves, without those that they called: per step, and of the whole.

    On an accelerator its time counts, not the time to ask for it.
    """
    events = profiler.key_averages()
    on_device = any(each.self_device_time_total > 0 for each in events)
    times = {each.key: each.self_device_time_total if on_device else each.self_cpu_time_total for each in events}
    calls = {each.key: each.count for each in events}
    total = sum(times.values()) or 1.0
    lines = [f"{'operator':<44} {'calls/step':>10} {'ms/step':>9} {'share':>6}"]
    for name in sorted(times, key=lambda name: -times[name])[:_ROWS]:
        spent = f"{times[name] / 1e3 / max(1, steps):9.3f} {times[name] / total:6.1%}"
        lines.append(f"{name[:44]:<44} {calls[name] / max(1, steps):10.1f} {spent}")
    return "\n".join(lines)
