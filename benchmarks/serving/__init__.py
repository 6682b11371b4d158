"""Serving beside its peers: LitServe, FastAPI with onnxruntime, and a handler that computes nothing.

    python -m benchmarks serving [--rounds 5] [--seconds 8] [--peers lepton,empty] [--out FOLDER]

Each peer runs in an environment of its own (`servers`) on the first core; whoever asks it runs on the second. wrk, with
64 connections, measures what it can do; then Lepton's own open-loop generator holds 70 % of that, and measures how long
users wait. Peers take turns, in rounds. Writes benchmarks/results/serving.json, or FOLDER/serving.json.
"""


def main(arguments: list[str] | None = None) -> None:
    """Run what the arguments say; see `command`."""
    from benchmarks.serving.command import run

    run(arguments or [])
