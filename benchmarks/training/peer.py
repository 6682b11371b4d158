"""One peer in its own process: JSON lines in and out, and the pauses of one long `fit`.

    python -m benchmarks.training.peer PEER WORKLOAD FOLDER [rounds|first|profile]

Every peer trains in a single call that never ends by itself. A hook after each step (before each step in Keras)
counts, and blocks between rounds on the next command. So a round holds steady steps only: neither imports, compilation
nor the start of `fit` are in it, while what belongs to steps and to epochs is. The hook costs the same in all: a Python
call and a decrement, below a microsecond. Keras gets the hook before the step because one after it makes Keras wait for
the loss of each step, which on JAX its users do not.

`first` trains one batch, says so and ends; whoever started the process holds the clock.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

BFLOAT16 = "-bfloat16"  # of peers that are told to compute in it where that is safe, as each of them has it
DRIVERS = {
    "lepton": "lepton_peer",
    "lepton-auto": "lepton_peer",
    "keras-jax": "keras_peer",
    "keras-tensorflow": "keras_peer",
    "keras-torch": "keras_peer",
    "lightning": "lightning_peer",
    "torch": "torch_peer",
    "torch-dataloader": "torch_peer",
    "torch-allocator": "torch_peer",
    "keras-jax-bfloat16": "keras_peer",
    "keras-tensorflow-bfloat16": "keras_peer",
    "torch-bfloat16": "torch_peer",
}


class Pace:
    """What a hook calls once per step.

    `parameters` counts the trained weights, known once training began; `wait` blocks until what was asked of the
    processor is done, and is called at the borders of rounds only.
    """

    def __init__(self, mode: str, versions: dict[str, str]) -> None:
        self.mode, self.versions, self.plan = mode, versions, ""
        self.parameters: Callable[[], int] = lambda: 0
        self.wait: Callable[[], object] = lambda: None
        self.first = mode == "first"
        self._left = self._steps = 0
        self._timed = False
        self._started = 0.0
        # Frameworks print; the other side reads JSON alone.
        self._out = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)

    def begin(self) -> None:
        """Called when all is ready to train: hand over to the parent, and wait for the first round."""
        if not self.first:
            self._say(ready=True)
            self._next()

    def __call__(self) -> None:
        if self.first:
            self.wait()
            self._say(first=True, parameters=self.parameters())
            os._exit(0)
        self._left -= 1
        if self._left > 0:
            return
        self.wait()
        now = time.perf_counter()
        if self._timed:
            self._say(seconds=now - self._started, steps=self._steps, parameters=self.parameters())
            self._next()
        else:
            self._timed, self._left, self._started = True, self._steps, now

    def _next(self) -> None:
        line = sys.stdin.readline()
        command = json.loads(line) if line else {"stop": True}
        if command.get("stop"):
            self._say(peak_bytes=peak(), versions=self.versions, plan=self.plan)
            os._exit(0)
        self._steps, self._timed, self._left = command["steps"], False, command["lead"]

    def _say(self, **facts: Any) -> None:
        self._out.write(json.dumps(facts) + "\n")
        self._out.flush()

    def say_profile(self, rows: list[dict[str, Any]], steps: int) -> None:
        """Hand over a profile, and end."""
        self._say(profile=rows, steps=steps)
        os._exit(0)


def peak() -> int:
    """The most memory that this process ever held, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def versions_of(*packages: str) -> dict[str, str]:
    """What is installed here of `packages`."""
    from importlib.metadata import version

    return {name: version(name) for name in packages}


def main() -> None:
    """Train as the arguments say, until told to stop."""
    peer, workload, folder, mode = sys.argv[1:5]
    driver = import_module(f"benchmarks.training.{DRIVERS[peer]}")
    driver.train(peer, workload, Path(folder), mode)


if __name__ == "__main__":
    main()
