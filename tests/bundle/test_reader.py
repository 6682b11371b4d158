"""Opening bundles, whole and broken."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.bundle import Bundle, decode_request
from lepton_ai.core import BundleError, UnknownNameError
from tests.contracts.bundles import PROFILE, write_bundle

X = np.array([[1, 2]], "float32")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "double.lepton", graphs={"fp32": b"graph"}, golden=(({"x": X}, {"y": X * 2}),))


def rewrite(path: Path, **fields: Any) -> None:
    file = path / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_what_a_bundle_offers(path: Path) -> None:
    bundle = Bundle.open(str(path))
    assert bundle.manifest.name == "double" and "variants/fp32/model.onnx" in bundle
    assert bundle.file("variants/fp32/model.onnx").read_bytes() == b"graph"
    assert bundle.profile() == PROFILE and bundle.architecture() == b"{}" and bundle.weights is None
    ((request, response),) = bundle.golden()
    assert decode_request(request).inputs["x"].tolist() == X.tolist() and b"double" in response
    assert repr(bundle) == f"Bundle({str(path)!r}, name='double', graphs=['fp32'])"


def test_a_link_to_a_bundle_is_followed(path: Path) -> None:
    latest = path.with_name("latest")
    latest.symlink_to(path)
    assert Bundle.open(latest).manifest.name == "double"


def test_unlisted_files_are_not_part_of_it(path: Path) -> None:
    (path / "profile2.json").write_text("?")
    bundle = Bundle.open(path)
    assert "profile2.json" not in bundle
    with pytest.raises(UnknownNameError, match=r"unknown file 'profile2.json'. Did you mean 'profile.json'\?"):
        bundle.file("profile2.json")


def refused(path: Path, *, verify: bool = True) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.open(path, verify=verify)
    return str(caught.value)


def test_not_a_bundle(path: Path, tmp_path: Path) -> None:
    assert "does not exist; a bundle is a folder" in refused(tmp_path / "nowhere")
    assert "is a file; a bundle is a folder" in refused(path / "manifest.json")
    assert "has no manifest.json, so it is not a bundle. Make one: lepton_ai.export" in refused(tmp_path)


def test_missing_file(path: Path) -> None:
    (path / "profile.json").unlink()
    assert (
        refused(path)
        == f"{path / 'profile.json'}: is missing from the bundle. Copy the bundle again, or export it again."
    )


def test_truncated_file(path: Path) -> None:
    (path / "variants/fp32/model.onnx").write_bytes(b"gra")
    assert "has 3 bytes, the manifest says 5: it was truncated or changed" in refused(path, verify=False)


def test_tampered_file(path: Path) -> None:
    (path / "variants/fp32/model.onnx").write_bytes(b"grapH")
    assert "(SHA-256 differs): it was damaged or tampered with" in refused(path)
    assert Bundle.open(path, verify=False)


def test_future_format(path: Path) -> None:
    rewrite(path, format=9)
    assert "bundle format 9, this version of lepton_ai reads format 1" in refused(path)


def test_manifest_that_is_not_json(path: Path) -> None:
    (path / "manifest.json").write_bytes((path / "manifest.json").read_bytes()[:-20])
    assert f"{path / 'manifest.json'}: is not valid JSON" in refused(path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a\\b"])
def test_names_that_lead_outside(path: Path, name: str) -> None:
    (path.parent / "secret").write_text("secret")
    rewrite(path, files={name: {"sha256": "0", "size": 6}}, graphs={})
    assert "a file name that may lead outside the bundle" in refused(path)


def test_links_inside(path: Path) -> None:
    shutil.move(path / "profile.json", path.parent / "elsewhere.json")
    (path / "profile.json").symlink_to(path.parent / "elsewhere.json")
    assert "profile.json: is a symbolic link, which bundles do not have" in refused(path)
    (path / "profile.json").unlink()
    shutil.move(path.parent / "elsewhere.json", path / "profile.json")
    shutil.move(path / "variants", path.parent / "variants")
    (path / "variants").symlink_to(path.parent / "variants")
    assert "variants: is a symbolic link" in refused(path)


def test_folders_are_not_files(path: Path) -> None:
    (path / "profile.json").unlink()
    (path / "profile.json").mkdir()
    assert "is not a regular file" in refused(path)


def test_request_without_answer(path: Path) -> None:
    files = json.loads((path / "manifest.json").read_text())["files"]
    del files["golden/000.response"]
    rewrite(path, files=files)
    with pytest.raises(BundleError, match=r"'golden/000.response' is missing, the answer to 'golden/000.request'"):
        Bundle.open(path).golden()
