"""What a step takes: seconds, and bytes between the workers."""

import json
import time
from pathlib import Path

SKIPPED = 2  # steps, which warm up
DEVICES = Path("/proc/net/dev")
SENT = 8  # the place of the bytes that a device sent, among its numbers


class Meter:
    """Called by the leader after each step; after number `steps` it leaves what a step took, on average, in a file."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps, self.count = path, steps, 0
        self.began, self.sent = 0.0, 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == SKIPPED:
            self.began, self.sent = time.perf_counter(), loopback_bytes()
        elif self.count == self.steps:
            counted = self.steps - SKIPPED
            seconds, sent = time.perf_counter() - self.began, loopback_bytes() - self.sent
            self.path.write_text(json.dumps({"seconds": seconds / counted, "bytes": sent / counted}))


def loopback_bytes() -> int:
    """What went from processes of this machine to others of it over sockets since it started."""
    for line in DEVICES.read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[SENT])
    return 0
