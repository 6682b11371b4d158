"""`python -m benchmarks [NAME...]`: run all benchmarks, or those that are named."""

import importlib
import sys

BENCHMARKS = {
    "data_check": "precision and recall of the checks of data on planted errors; half a minute",
    "fit_overhead": "Model.fit beside the same loop written by hand in torch; minutes",
    "optimizers": "the channel-adaptive optimiser beside Adam and SGD on real data; minutes",
}


def main() -> None:
    """Run them one after the other; each writes its file under benchmarks/results/."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        listed = "\n".join(f"  {name:<14} {what}" for name, what in BENCHMARKS.items())
        sys.exit(f"no benchmark {unknown[0]!r}; there are\n{listed}")
    for name in names:
        print(f"== {name}: {BENCHMARKS[name]}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
