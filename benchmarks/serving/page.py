"""The results as a page."""

from typing import Any

from benchmarks.pages import filled, markers, table

PAGE = f"""# Beside other servers

`make bench-serving` serves the same models by Lepton and by others, each in an environment of its own.
benchmarks/serving says how, benchmarks/results/serving.json has the figures of all rounds.

{markers("serving")}
"""
VERDICTS = {True: "met", False: "missed", None: "not measured"}
PERCENTILES = ("p50", "p99", "p99.9")


def page(report: dict[str, Any], old: str) -> str:
    """The page with the tables of a report between its two markers."""
    return filled(old, PAGE, "serving", tables(report))


def tables(report: dict[str, Any]) -> str:
    """All tables, in Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(report["versions"].items()))
    parts = [
        f"{report['machine']}; {versions}. {report['workload']}. Medians of {len(report['rounds'])} rounds.",
        table("What was wanted", ["", "wanted", "figure", ""], [_target(row) for row in report["targets"]]),
        _rates(report),
        _even(report),
        _pictures(report),
        _sweeps(report),
        *(f"**Left out:** {name}: {why}" for name, why in report["left_out"].items()),
    ]
    return "\n\n".join(part for part in parts if part)


def _target(row: dict[str, Any]) -> list[str]:
    figure = "" if row["figure"] is None else f"{row['figure']:.3g}"
    return [row["target"], f"{row['wanted']:g}", figure, VERDICTS[row["met"]]]


def _rates(report: dict[str, Any]) -> str:
    ranked = sorted(report["summary"].items(), key=lambda each: -each[1]["requests_per_second"]["value"])
    rows = []
    for name, found in ranked:
        rate, times = found["requests_per_second"], found.get("times_as_fast")
        rows.append(
            [
                name,
                f"{rate['value']:,.0f} ({rate['low']:,.0f}–{rate['high']:,.0f})",
                "" if times is None else f"{times['value']:.2f} ({times['low']:.2f}–{times['high']:.2f})",
                *_waits(found),
            ]
        )
    heads = ["", "requests a second", "Lepton's over it", *(f"{each}, ms" for each in PERCENTILES)]
    return table("One row as JSON; percentiles at 70 % of what each can do, from when requests were due", heads, rows)


def _even(report: dict[str, Any]) -> str:
    rows = [[name, *_waits(found["even"])] for name, found in report["summary"].items() if "even" in found]
    if not rows:
        return ""
    heads = ["", *(f"{each}, ms" for each in PERCENTILES)]
    return table(f"Percentiles where all are asked equally often, {report['even']:,.0f} times a second", heads, rows)


def _waits(found: dict[str, Any]) -> list[str]:
    return ["" if found[each] is None else f"{found[each] * 1e3:.2f}" for each in PERCENTILES]


def _pictures(report: dict[str, Any]) -> str:
    found = report.get("pictures")
    if found is None:
        return ""
    share, added = found["of_bare"], found["added"]
    rows = [
        ["a run of the session alone, ms", f"{found['bare_p50'] * 1e3:.2f}"],
        [
            "Lepton's pictures a second over the session's",
            f"{share['value']:.3f} ({share['low']:.3f}–{share['high']:.3f})",
        ],
        [
            "what Lepton adds to a single client's wait, beside a handler that receives the same, ms",
            f"{added['value'] * 1e3:.2f} ({added['low'] * 1e3:.2f}–{added['high'] * 1e3:.2f})",
        ],
    ]
    return table("Pictures of 3x224x224 floats by the binary extension", ["", ""], rows)


def _sweeps(report: dict[str, Any]) -> str:
    rows = [
        [name, " ".join(each["setting"]), f"{each['requests_per_second']:,.0f}", "taken" if each["taken"] else ""]
        for name, sweep in report["sweeps"].items()
        for each in sweep
    ]
    return table("Settings tried", ["", "setting", "requests a second", ""], rows)
