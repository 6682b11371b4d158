"""`python -m benchmarks [NAME...] [--OPTION...]`: run the benchmarks that are named, or all but the longest.

Options are those of the one that is named.
"""

import importlib
import sys

BENCHMARKS = {
    "data_check": "precision and recall of the checks of data on planted errors; half a minute",
    "distributed": "two workers beside one, and beside Lightning, Accelerate and Ray Train; half an hour",
    "fit_overhead": "Model.fit beside the same loop written by hand in torch; minutes",
    "optimizers": "the channel-adaptive optimiser beside Adam and SGD on real data; minutes",
    "serving": "Lepton's server beside five others and a handler that computes nothing; half an hour",
    "training": "Lepton beside Keras, Lightning and loops by hand, each in its own environment; half an hour",
}
LONGEST = {"distributed", "serving", "training"}


def main() -> None:
    """Run them one after the other; each writes its file under benchmarks/results/."""
    first = next((at for at, word in enumerate(sys.argv) if word.startswith("--")), len(sys.argv))
    names, options = sys.argv[1:first] or [name for name in BENCHMARKS if name not in LONGEST], sys.argv[first:]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        listed = "\n".join(f"  {name:<14} {what}" for name, what in BENCHMARKS.items())
        sys.exit(f"no benchmark {unknown[0]!r}; there are\n{listed}")
    if options and names not in ([name] for name in LONGEST):
        sys.exit(f"only one of {', '.join(sorted(LONGEST))} takes options, by itself; got {' '.join(options)}")
    for name in names:
        print(f"== {name}: {BENCHMARKS[name]}", flush=True)
        module = importlib.import_module(f"benchmarks.{name}")
        if options:
            module.main(options)
        else:
            module.main()


if __name__ == "__main__":
    main()
