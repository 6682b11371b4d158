"""The peers' processes, seen from outside."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.training.environments import BENCHMARKS

SHOWN_LINES = 3
LOOK_SECONDS, MOST_LOOKS = 0.1, 50


class PeerError(Exception):
    """`peer` ended; with the last that it wrote to stderr."""

    def __init__(self, peer: str, said: str) -> None:
        super().__init__(f"{peer} ended: {said}")
        self.peer = peer


class Peer:
    """A process that trains one workload when it is asked to, and sleeps in between."""

    def __init__(self, name: str, python: Path, workload: str, folder: Path, mode: str = "rounds") -> None:
        self.name, self.steps, self.parameters = name, 1, 0
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        command = [str(python), "-m", "benchmarks.training.peer", name, workload, str(folder), mode]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, cwd=BENCHMARKS.parent, stdin=pipe, stdout=pipe, stderr=self._errors, text=True, bufsize=1
        )

    def hear(self) -> dict[str, Any]:
        """Its next line.

        Raises: PeerError if it ended.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self._errors.seek(0)
            said = [each.strip() for each in self._errors.read().splitlines() if each.strip()]
            raise PeerError(self.name, " | ".join(said[-SHOWN_LINES:]).replace(str(BENCHMARKS.parent), "."))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def say(self, **command: Any) -> None:
        """Send it a line."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
        except BrokenPipeError:
            self.hear()

    def train(self, lead: int, steps: int) -> float:
        """Seconds for `steps` steps, after `lead` that do not count."""
        self.say(lead=lead, steps=steps)
        answer = self.hear()
        self.parameters = answer["parameters"]
        return float(answer["seconds"])

    def calibrate(self, lead: int, seconds: float) -> None:
        """Warm up, compilation included, and find how many steps fill the seconds."""
        self.train(lead + 3, 2)
        each = self.train(1, 2) / 2
        trial = max(2, min(200, int(seconds / 4 / each)))
        self.steps = max(2, round(seconds / (self.train(1, trial) / trial)))

    def used(self) -> float:
        """Processor seconds of this process and its workers so far."""
        return sum(_used(pid) for pid in _family(self.process.pid))

    def settle(self) -> float:
        """Wait until it sleeps, since loaders fetch ahead for a while after a round; the processor seconds of that."""
        first = before = self.used()
        for _ in range(MOST_LOOKS):
            time.sleep(LOOK_SECONDS)
            now = self.used()
            if now - before < LOOK_SECONDS / 10:
                break
            before = now
        return self.used() - first

    def stop(self) -> dict[str, Any]:
        """Its peak memory and its versions; the process is gone then."""
        self.say(stop=True)
        answer = self.hear()
        self.close()
        return answer

    def close(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._errors):
            if pipe is not None:
                pipe.close()


def first_batch(name: str, python: Path, workload: str, folder: Path) -> float:
    """Seconds from the start of a new process until one batch is trained, by the clock of this process."""
    started = time.perf_counter()
    peer = Peer(name, python, workload, folder, "first")
    try:
        peer.hear()
        return time.perf_counter() - started
    finally:
        peer.close()


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return [pid]
    return [pid, *(each for child in children for each in _family(child))]


def _used(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended just now
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
