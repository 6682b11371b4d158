"""Writing and amending bundles."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lepton_ai.bundle import Bundle, Graph, amend, create, encode_request
from lepton_ai.core import BundleError, StorageError, UsageError, sha256
from tests.contracts.bundles import PROFILE, manifest, signature, write_bundle


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "m.lepton"


def test_every_file_is_hashed(place: Path) -> None:
    with create(place) as draft:
        draft.write("a/b.bin", b"123")
        (draft.folder / "card.md").write_text("# m")
        final = draft.finish(manifest())
    assert list(final.files) == ["a/b.bin", "card.md"]
    assert final.files["a/b.bin"].sha256 == sha256(place / "a/b.bin") and final.files["a/b.bin"].size == 3
    assert Bundle.open(place).manifest == final


def test_forgetting_finish_writes_nothing(place: Path) -> None:
    with pytest.raises(UsageError, match=r"the block ended without finish\(\)"), create(place) as draft:
        draft.write("a", b"1")
    assert not place.exists() and not list(place.parent.iterdir())


def test_an_error_in_the_block_writes_nothing(place: Path) -> None:
    with pytest.raises(ZeroDivisionError), create(place) as draft:
        draft.finish(manifest())
        _ = 1 / 0
    assert not list(place.parent.iterdir())


def test_existing_bundles_are_kept_unless_told(place: Path) -> None:
    write_bundle(place)
    with pytest.raises(StorageError, match="exists already"), create(place):
        pass
    with create(place, overwrite=True) as draft:
        draft.finish(manifest("other"))
    assert Bundle.open(place).manifest.name == "other"


def test_overwrite_never_replaces_what_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for path in (tmp_path, tmp_path / "thesis.txt"):
        with raises("is not a bundle, so it will not be overwritten", StorageError), create(path, overwrite=True):
            pass
    (tmp_path / "empty").mkdir()
    with create(tmp_path / "empty", overwrite=True) as draft:
        draft.finish(manifest())


def raises(message: str, error: type[Exception] = BundleError) -> Any:
    return pytest.raises(error, match=message)


def test_what_would_not_read_back_is_refused(place: Path) -> None:
    with raises(r"Expected `float`, got `null` - at `\$.metrics\[...\]`"), create(place) as draft:
        draft.finish(msgspec.structs.replace(manifest(), metrics={"loss": float("nan")}))
    with raises("graphs.fp32.file: 'x.onnx' is not among the bundle's files"), create(place) as draft:
        draft.finish(manifest(graphs={"fp32": Graph(file="x.onnx", signature=signature())}))
    with raises("profile.json: JSON is malformed"), create(place) as draft:
        draft.write("profile.json", b"?")
        draft.finish(manifest())
    with raises("the answer to 'golden/000.request'"), create(place) as draft:
        draft.write("golden/000.request", b"{}")
        draft.finish(manifest())
    with raises("golden pair 0: is not a pair of protocol bodies"), create(place) as draft:
        draft.write_golden([(encode_request({"x": np.zeros(1)}), b"")])
        draft.finish(manifest())
    with raises("name: got 'my model'"), create(place) as draft:
        draft.finish(manifest("my model"))
    with raises("is a symbolic link"), create(place) as draft:
        (draft.folder / "link").symlink_to(place.parent)
        draft.finish(manifest())
    assert not list(place.parent.iterdir())


def test_wrong_writes(place: Path) -> None:
    with create(place) as draft:
        with pytest.raises(BundleError, match="may lead outside"):
            draft.write("../a", b"")
        with pytest.raises(BundleError, match=r"the manifest is written by finish\(\)"):
            draft.write("manifest.json", b"")
        draft.finish(manifest())
        with pytest.raises(UsageError, match="the bundle is finished"):
            draft.write("a", b"")
        with pytest.raises(UsageError, match="the bundle is finished already"):
            draft.finish(manifest())


def test_amend_adds_and_keeps(place: Path) -> None:
    write_bundle(place)
    (place / "unlisted").write_text("not part of it")
    with amend(place) as draft:
        assert draft.manifest is not None and draft.manifest.name == "double"
        draft.write("variants/fp32/model.onnx", b"graph")
        graph = Graph(file="variants/fp32/model.onnx", signature=draft.manifest.signature)
        draft.finish(msgspec.structs.replace(draft.manifest, graphs={"fp32": graph}))
    bundle = Bundle.open(place)
    assert bundle.profile() == PROFILE and list(bundle.manifest.graphs) == ["fp32"]
    assert not (place / "unlisted").exists()


def test_amend_through_a_link_keeps_the_link(place: Path) -> None:
    write_bundle(place)
    latest = place.with_name("latest")
    latest.symlink_to(place)
    with amend(latest) as draft:
        assert draft.manifest is not None
        draft.write("card.md", b"new")
        draft.finish(draft.manifest)
    assert latest.is_symlink() and (place / "card.md").read_bytes() == b"new"
    assert sorted(file.name for file in place.parent.iterdir()) == ["latest", place.name]


def test_failed_amend_keeps_the_old_bundle(place: Path) -> None:
    write_bundle(place)
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}
    with pytest.raises(ZeroDivisionError), amend(place) as draft:
        draft.write("profile.json", b"?")
        _ = 1 / 0
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before
    assert os.listdir(place.parent) == [place.name]  # noqa: PTH208


def test_amend_refuses_damaged_bundles(place: Path) -> None:
    write_bundle(place)
    (place / "architecture.json").write_bytes(b"[]")
    with pytest.raises(BundleError, match="SHA-256 differs"), amend(place):
        pass
