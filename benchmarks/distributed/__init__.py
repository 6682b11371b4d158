"""Several workers on one machine: what they bring, what they cost, and how others do it.

    python -m benchmarks distributed [--turns 5] [--only b,e] [--peers lightning-ddp,ray-train] [--out FOLDER]

On the workloads of the benchmark of training, in Lepton (`ways`):

- `one`: one worker of one thread; `threads`: one worker of two threads;
- `two`: two workers of one thread that share each batch, and `local`: the same with batch_norm="local", which is what
  the peers do; `sockets`: that again, as if on two machines; `exact`: with reduction="exact"; `bfloat16`: with that on
  the wire;
- `ceiling`: two processes of one thread that each train on half batches and never talk: what this machine has to give.

Beside it the same work on two workers of one thread each, in environments of their own (`peers`): torch's own
DistributedDataParallel by hand, Lightning, Accelerate, and Ray Train.

All take turns, the order of a turn alternating; a ratio is of the times within one turn. A time is that of the steps
after the first two by the leader's clock (`meter`), so that neither starting nor warming up counts; what starting costs
is measured by itself. Writes benchmarks/results/distributed.json and the tables in docs/workers-benchmark.md, or both
into FOLDER. Peers import parts of this package where there is no lepton_ai: only `command` and `ways` may need it.
"""


def main(arguments: list[str] | None = None) -> None:
    """Run what the arguments say; see `command`."""
    from benchmarks.distributed.command import run

    run(arguments or [])
