"""Small bundles for tests."""

from pathlib import Path

from lepton_ai.bundle import Graph, Manifest, Signature, TensorSpec, create, encode_request, encode_response
from lepton_ai.bundle.codec import Array
from lepton_ai.bundle.profile import Feature, Profile

PROFILE = Profile(rows=3, inputs={"x": (Feature(name="x", kind="number", count=3, mean=1.0),)})


def spec(name: str, dtype: str = "FP32", shape: tuple[int, ...] = (-1, 2)) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def signature(
    inputs: tuple[TensorSpec, ...] = (spec("x"),), outputs: tuple[TensorSpec, ...] = (spec("y"),)
) -> Signature:
    return Signature(inputs=inputs, outputs=outputs)


def manifest(name: str = "double", sign: Signature | None = None, graphs: dict[str, Graph] | None = None) -> Manifest:
    return Manifest(
        name=name,
        task="other",
        signature=sign or signature(),
        graphs=graphs or {},
        created="2026-11-24T00:00:00+00:00",
    )


def write_bundle(
    path: Path,
    *,
    name: str = "double",
    sign: Signature | None = None,
    graphs: dict[str, bytes] | None = None,
    golden: tuple[tuple[dict[str, Array], dict[str, Array]], ...] = (),
) -> Path:
    """A bundle at `path` with the given ONNX graphs by variant, and golden (inputs, outputs) pairs."""
    sign = sign or signature()
    files = {variant: f"variants/{variant}/model.onnx" for variant in graphs or {}}
    with create(path) as draft:
        for variant, content in (graphs or {}).items():
            draft.write(files[variant], content)
        draft.write("architecture.json", b"{}")
        draft.write_profile(PROFILE)
        draft.write_golden([(encode_request(inputs), encode_response(name, outputs)) for inputs, outputs in golden])
        draft.finish(
            manifest(name, sign, {variant: Graph(file=file, signature=sign) for variant, file in files.items()})
        )
    return path
