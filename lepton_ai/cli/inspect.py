"""`lepton inspect`."""

from pathlib import Path

import msgspec

from lepton_ai.bundle import Bundle, TensorSpec


def inspect_bundle(path: Path, *, as_json: bool) -> str:
    """What a bundle says of itself, once all its hashes hold."""
    manifest = Bundle.open(path).manifest
    if as_json:
        return msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode()
    lines = [f"{manifest.name}  ({manifest.task}, format {manifest.format}, made {manifest.created})", ""]
    lines += [f"  in   {_tensor(spec)}" for spec in manifest.signature.inputs]
    lines += [f"  out  {_tensor(spec)}" for spec in manifest.signature.outputs]
    if manifest.labels:
        lines += ["", f"  labels   {', '.join(manifest.labels)}"]
    for name, graph in manifest.graphs.items():
        proof = graph.parity
        equal = "" if proof is None else f", equal to the model within {proof.max_difference:.1e}"
        lines += ["", f"  graph    {name}: {graph.file} ({graph.runtime}{equal})"]
    if not manifest.graphs:
        lines += ["", "  no graph: add one with lepton_ai.export(model, path) to serve it"]
    for title, facts in (
        ("metrics", manifest.metrics),
        ("lineage", manifest.lineage),
        ("made with", manifest.environment),
    ):
        if facts:
            lines += ["", f"  {title}"]
            lines += [
                f"    {key:<16} {value:.4g}" if isinstance(value, float) else f"    {key:<16} {value}"
                for key, value in facts.items()
            ]
    lines += ["", "  files (all hashes hold)"]
    lines += [f"    {file.size:>12,}  {name}" for name, file in manifest.files.items()]
    return "\n".join(lines)


def _tensor(spec: TensorSpec) -> str:
    sizes = ", ".join("any" if size == -1 else str(size) for size in spec.shape)
    return f"{spec.name}: {spec.dtype} ({sizes})"
