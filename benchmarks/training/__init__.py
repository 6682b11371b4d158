"""Training beside its peers: Keras on JAX, TensorFlow and torch, Lightning, and loops by hand in torch.

    python -m benchmarks training [--rounds 7] [--seconds 1.2] [--starts 2] [--only a,c] [--peers lepton,torch]
                                  [--bfloat16] [--profile] [--out FOLDER]

Each peer runs in an environment of its own (`environments`), one process for each workload, and trains on the same
arrays from files (`workloads`), in float32. With `--bfloat16` a second comparison lets Lepton's plan race
(`lepton-auto`), beside the faster of float32 and mixed bfloat16 in those peers that may win by it. `peer` says how its
steps are timed, `rounds` in which order. Writes benchmarks/results/training.json, the table in docs/benchmarks.md and
docs/images/training.png, or all of them into FOLDER. Peers import parts of this package in environments that hold no
lepton_ai: only `command` and what it alone imports may need it.
"""


def main(arguments: list[str] | None = None) -> None:
    """Run what the arguments say; see `command`."""
    from benchmarks.training.command import run

    run(arguments or [])
