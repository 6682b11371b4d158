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
