"""Precision and recall of the checks of data on errors planted in real data, and the time they take.

    python -m benchmarks.data_check [--credit FOLDER]

The cases are in benchmarks/planted.py; the tests hold a floor under each. With `--credit`, a folder that
holds credit_default.csv (30,000 card holders, UCI's "Default of Credit Card Clients", CC BY 4.0), all checks run on
that, too, timed. Writes benchmarks/results/data_check.json.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.planted import CASES
from lepton_ai.cleaning import examine
from lepton_ai.core import this_machine

RESULTS = Path(__file__).parent / "results" / "data_check.json"


def main(arguments: Sequence[str] = ()) -> None:
    """Run all cases, print a table, and write the results."""
    parser = argparse.ArgumentParser(description="Precision and recall of the checks of data.")
    parser.add_argument("--credit", type=Path, metavar="FOLDER", help="folder that holds credit_default.csv")
    credit = parser.parse_args(list(arguments)).credit
    found: list[dict[str, Any]] = []
    print(f"{'check':<23}{'data':<21}{'planted':<40}{'marked':>7}{'precision':>11}{'recall':>8}")
    for case in CASES:
        score = case.run()
        found.append(
            {
                "check": case.check,
                "data": case.data,
                "what": case.what,
                "planted": score.planted,
                "marked": score.marked,
                "hits": score.hits,
                "precision": round(score.precision, 4),
                "recall": round(score.recall, 4),
                "floor": {"precision": case.precision, "recall": case.recall},
            }
        )
        row = f"{case.check:<23}{case.data:<21}{case.what:<40}{score.marked:>7}"
        print(f"{row}{score.precision:>11.2f}{score.recall:>8.2f}", flush=True)
    results: dict[str, Any] = {
        "command": "python -m benchmarks.data_check" + (" --credit FOLDER" if credit else ""),
        "machine": str(this_machine()),
        "planted": found,
    }
    if credit is not None:
        results["credit_default"] = _credit(credit / "credit_default.csv")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written: {RESULTS.name}")


def _credit(path: Path) -> dict[str, Any]:
    """All checks on the card holders: seconds, and findings."""
    start = time.perf_counter()
    found = examine(path, "DID_DEFAULT_PAYMENT", rules=["AGE between 18 and 120"])
    seconds = time.perf_counter() - start
    print(found.summary())
    print(f"{seconds:.1f} s")
    return {
        "rows": found.rows,
        "columns": len(found.columns),
        "seconds": round(seconds, 2),
        "seconds_by_check": {run.name: run.seconds for run in found.checks if not run.skipped},
        "findings": [
            {"check": each.check, "severity": each.severity, "columns": each.columns, "count": each.count,
             "evidence": each.evidence.replace("\u202f", " ")}
            for each in found.findings
        ],
    }  # fmt: skip


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
