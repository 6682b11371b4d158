"""Trains on a Ray cluster of two nodes on this machine: `python cluster_program.py FOLDER PART...`, a part being what
happens to it."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from lepton_ai.core import ConfigError, WorkerError
from lepton_ai.distributed import Workers
from lepton_ai.training import Callback
from tests.contracts.fitting import compiled, mlp, same_state, table, without_seconds


class Mark(Callback):
    """Leaves a mark when a step is reached, and waits there the first time, so that a node can be lost."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        if self.run.total_steps == 7 and not self.path.exists():
            self.path.touch()
            time.sleep(30)


class Failing(Callback):
    def on_epoch_begin(self, epoch: int) -> None:
        raise LookupError("not found")


class Locked(Callback):
    def __init__(self) -> None:
        self.lock = threading.Lock()


def fit(model: Any, *callbacks: Callback, **options: Any) -> Any:
    x, y = table(50)
    model.fit(x, y, 8, 3, verbose=0, callbacks=list(callbacks), validation_data=(x[:9], y[:9]), **options)
    return model


class Program:
    """A cluster of two nodes with a processor each, and what is done on it."""

    def __init__(self, folder: Path) -> None:
        size = 100 * 2**20
        head = {"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.1", "object_store_memory": size}
        self.folder, self.exact = folder, Workers(count=2, reduction="exact")
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.other = self.cluster.add_node(num_cpus=1, object_store_memory=size, node_ip_address="127.0.0.1")
        self.address = f"127.0.0.1:{self.cluster.address.rpartition(':')[2]}"
        ray.init(address=self.address, logging_level=logging.ERROR)

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()

    def when_marked(self, mark: Path, do: Callable[[], object]) -> None:
        """Call `do` once the file is there."""

        def wait() -> None:
            while not mark.exists():
                time.sleep(0.01)
            do()

        threading.Thread(target=wait, daemon=True).start()

    def both(self) -> str:
        whole = fit(compiled(mlp(dropout=0.3)), workers=Workers(reduction="exact"))
        both = fit(compiled(mlp(dropout=0.3)), workers=self.exact, cluster=self.address)
        assert same_state(whole, both) and without_seconds(whole.history) == without_seconds(both.history)
        return "two nodes, the same bits"

    def errors(self) -> str:
        for callback, kind, text in (
            (Failing(), WorkerError, "worker 0 failed"),
            (Locked(), ConfigError, ".callbacks[0].lock (lock) cannot be sent"),
        ):
            try:
                fit(compiled(mlp()), callback, workers=2, cluster=self.address)
            except kind as error:
                assert text in str(error), error
            else:
                raise AssertionError(kind)
        return "errors are named"

    def interrupted(self) -> str:
        mark = self.folder / "interrupt"
        self.when_marked(mark, lambda: os.kill(os.getpid(), signal.SIGINT))
        try:
            fit(compiled(mlp()), Mark(mark), workers=2, cluster=self.address)
        except KeyboardInterrupt:
            deadline = time.monotonic() + 60
            while ray.available_resources().get("CPU") != 2.0 and time.monotonic() < deadline:
                time.sleep(0.2)
            assert ray.available_resources()["CPU"] == 2.0
            return "Ctrl-C left nothing running"
        raise AssertionError("it was not interrupted")

    def loss(self) -> str:
        mark = self.folder / "loss"
        whole = fit(compiled(mlp(dropout=0.3)), workers=Workers(reduction="exact"))
        self.when_marked(mark, lambda: self.cluster.remove_node(self.other, allow_graceful=False))
        model = compiled(mlp(dropout=0.3))
        folder = self.folder / "run"
        left = fit(model, Mark(mark), workers=self.exact, cluster=self.address, run=folder, checkpoint_every=3)
        assert len(ray.nodes()) == 2 and sum(node["Alive"] for node in ray.nodes()) == 1
        assert same_state(whole, left) and without_seconds(whole.history) == without_seconds(left.history)
        return "one node lost, the same bits"


def main(folder: Path, parts: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    program = Program(folder)
    try:
        for part in parts:
            print("cluster:", getattr(program, part)(), flush=True)
    finally:
        program.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
