"""Trains on a Ray cluster of two nodes on this machine, one of which is lost: `python cluster_program.py FOLDER`."""

import logging
import sys
import threading
import time
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


def main(folder: Path) -> None:
    size = 100 * 2**20
    head = {"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.1", "object_store_memory": size}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    other = cluster.add_node(num_cpus=1, object_store_memory=size, node_ip_address="127.0.0.1")
    address = f"127.0.0.1:{cluster.address.rpartition(':')[2]}"
    ray.init(address=address, logging_level=logging.ERROR)
    try:
        exact = Workers(count=2, reduction="exact")
        whole = fit(compiled(mlp(dropout=0.3)), workers=Workers(reduction="exact"))
        both = fit(compiled(mlp(dropout=0.3)), workers=exact, cluster=address)
        assert same_state(whole, both) and without_seconds(whole.history) == without_seconds(both.history)
        print("two nodes: the same bits", flush=True)

        for callback, kind, text in (
            (Failing(), WorkerError, "worker 0 failed"),
            (Locked(), ConfigError, ".callbacks[0].lock (lock) cannot be sent"),
        ):
            try:
                fit(compiled(mlp()), callback, workers=2, cluster=address)
            except kind as error:
                assert text in str(error), error
            else:
                raise AssertionError(kind)
        print("errors are named", flush=True)

        mark = folder / "mark"

        def lose() -> None:
            while not mark.exists():
                time.sleep(0.01)
            cluster.remove_node(other, allow_graceful=False)

        threading.Thread(target=lose, daemon=True).start()
        left = fit(
            compiled(mlp(dropout=0.3)),
            Mark(mark),
            workers=exact,
            cluster=address,
            run=folder / "run",
            checkpoint_every=3,
        )
        assert len(ray.nodes()) == 2 and sum(node["Alive"] for node in ray.nodes()) == 1
        assert same_state(whole, left) and without_seconds(whole.history) == without_seconds(left.history)
        print("one node lost: the same bits", flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
