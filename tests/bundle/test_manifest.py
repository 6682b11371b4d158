"""The manifest's checks."""

from typing import Any

import msgspec
import pytest

from lepton_ai.bundle import FORMAT, Graph, check_name, timestamp
from lepton_ai.bundle.manifest import parse_manifest
from lepton_ai.core import BundleError
from tests.contracts.bundles import manifest, signature, spec


def changed(**fields: Any) -> bytes:
    return msgspec.json.encode({**msgspec.to_builtins(manifest()), **fields})


def test_round_trip() -> None:
    original = manifest()
    assert parse_manifest(msgspec.json.encode(original)) == original and original.format == FORMAT


def sign(*inputs: Any) -> Any:
    return msgspec.to_builtins(signature(inputs))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "manifest.json: is not valid JSON"),
        (b"\xff", "manifest.json: is not valid JSON"),
        (b"[" * 100_000, "manifest.json:"),
        (b"{}", "Object missing required field `format`"),
        (changed(format=2), "bundle format 2, this version of lepton_ai reads format 1. Upgrade lepton-ai"),
        (changed(format=2, signature="of the future"), "bundle format 2"),
        (changed(name=3), "Expected `str`, got `int` - at `$.name`"),
        (changed(surprise=1), "unknown field `surprise`"),
        (changed(name="../up"), "manifest.json: name: got '../up', expected 1 to 128 letters"),
        (changed(driver="autoregressive"), "unknown driver 'autoregressive', expected 'single'"),
        (changed(signature=sign()), "signature.inputs: got [], expected at least one tensor"),
        (changed(signature=sign(spec("x"), spec("x"))), "each name once"),
        (changed(signature=sign(spec("x", "FP7"))), "signature.inputs[0].dtype: got 'FP7', expected one of BOOL"),
        (changed(signature=sign(spec("x", shape=(-2,)))), "signature.inputs[0].shape: got [-2]"),
        (changed(signature=sign(spec(""))), "signature.inputs[0]: has no name"),
        (changed(signature={"inputs": [{"name": "x"}], "outputs": []}), "at `$.signature.inputs[0]`"),
        (
            changed(graphs={"fp32": Graph(file="a.onnx", signature=signature())}),
            "graphs.fp32.file: 'a.onnx' is not among the bundle's files",
        ),
        (changed(graphs={"a/b": Graph(file="a.onnx", signature=signature())}), "graphs: got 'a/b'"),
    ],
)
def test_refusals(content: bytes, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_manifest(content)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["", ".hidden", "-x", "a/b", "a\\b", "a b", "ä", "a\n", "a" * 129])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(BundleError, match="Choose a name like 'digits-v2'"):
        check_name(name)


def test_timestamp_is_utc() -> None:
    assert timestamp().endswith("+00:00")


def graph(sign: Any) -> Any:
    return {"a.onnx": {"sha256": "0", "size": 1}}, {"fp32": Graph(file="a.onnx", signature=sign)}


@pytest.mark.parametrize(
    ("sign", "message"),
    [
        (signature((spec("z"),)), "graphs.fp32.signature.inputs: got ['z'], expected ['x']"),
        (signature((spec("x", "INT8"),)), "graphs.fp32.signature.inputs[0]: got 'INT8[-1, 2]', expected FP32[-1, 2]"),
        (signature(outputs=(spec("y", shape=(-1, 3)),)), "outputs[0]: got 'FP32[-1, 3]', expected FP32[-1, 2]"),
        (signature(outputs=(spec("y", shape=(-1,)),)), "outputs[0]: got 'FP32[-1]'"),
    ],
)
def test_graphs_must_be_of_the_model(sign: Any, message: str) -> None:
    files, graphs = graph(sign)
    with pytest.raises(BundleError) as caught:
        parse_manifest(changed(files=files, graphs=graphs))
    assert message in str(caught.value)


def test_a_graph_may_fix_what_the_model_leaves_open() -> None:
    files, graphs = graph(signature((spec("x", shape=(1, 2)),)))
    assert parse_manifest(changed(files=files, graphs=graphs)).graphs


def test_labels_must_fit_the_output() -> None:
    with pytest.raises(BundleError, match=r"labels: 3 labels, but the output has shape \[-1, 2\], expected 2"):
        parse_manifest(changed(task="classification", labels=["a", "b", "c"]))
    assert parse_manifest(changed(task="classification", labels=["a", "b"])).labels
    one = msgspec.to_builtins(signature(outputs=(spec("y", shape=(-1, 1)),)))
    assert parse_manifest(changed(task="classification", labels=["a", "b"], signature=one)).labels


def test_created_is_a_time() -> None:
    with pytest.raises(BundleError, match="created: got 'yesterday', expected a time in ISO 8601"):
        parse_manifest(changed(created="yesterday"))
