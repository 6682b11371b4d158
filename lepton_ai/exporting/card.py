"""The model card: what a reader should know of a bundle before using it."""

from lepton_ai.bundle import Manifest, Profile, TensorSpec

_TEMPLATE = """# {name}

{task}, made {created}.

## Inputs and outputs
| tensor | type | shape |
|---|---|---|
{tensors}
{labels}
## Training
{lineage}

## Measured
{metrics}

## Exported graphs
{graphs}

## Data
{data}

## Limits
The figures hold for data like that of the training profile. Nothing was measured on groups of people, on other
sources of data, or under attack.

## Made with
{environment}
"""


def model_card(manifest: Manifest, profile: Profile | None) -> str:
    """The card of a bundle, in Markdown, from facts in its manifest and profile alone."""
    graphs = [
        f"- {name}: {graph.file}"
        + (f", equal to the model within {graph.parity.max_difference:.2g}" if graph.parity is not None else "")
        for name, graph in manifest.graphs.items()
    ]
    data = "No profile of the training data."
    if profile is not None:
        kind = "Generated from the signature: no training data was at hand." if profile.generated else "Training data:"
        features = sum(len(each) for each in profile.inputs.values())
        data = f"{kind} {profile.rows:,} rows, {features} features."
        for target in profile.targets:
            if target.categories:
                data += "\n\nClasses: " + ", ".join(f"{k} {v:,}" for k, v in target.categories.items()) + "."
    return _TEMPLATE.format(
        name=manifest.name,
        task=manifest.task.capitalize(),
        created=manifest.created,
        tensors="\n".join(
            [_row(spec, "in") for spec in manifest.signature.inputs]
            + [_row(spec, "out") for spec in manifest.signature.outputs]
        ),
        labels=f"\nLabels: {', '.join(manifest.labels)}.\n" if manifest.labels else "",
        lineage=_list(manifest.lineage),
        metrics=_list({key: f"{value:.4g}" for key, value in manifest.metrics.items()}),
        graphs="\n".join(graphs) or "None.",
        data=data,
        environment=_list(manifest.environment),
    )


def _row(spec: TensorSpec, way: str) -> str:
    shape = ", ".join("any" if size == -1 else str(size) for size in spec.shape)
    return f"| {spec.name} ({way}) | {spec.dtype} | {shape} |"


def _list(facts: dict[str, str]) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in facts.items()) or "Nothing recorded."
