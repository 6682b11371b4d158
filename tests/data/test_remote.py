import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lepton_ai.core import ConfigError, DataError, MissingExtraError, StorageError
from lepton_ai.data import ImageFolder, read_csv, read_jsonl, read_parquet, remote, set_remote_cache

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    memory = fsspec.filesystem("memory")
    set_remote_cache(tmp_path / "copies", max_bytes=10_000)
    yield memory
    set_remote_cache()
    for path in list(memory.ls("/", detail=False)):
        memory.rm(path, recursive=True)


def png(value: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (4, 2), (value, 0, 0)).save(content, "png")
    return content.getvalue()


def test_tables_on_a_store(store: Any, tmp_path: Path) -> None:
    store.pipe("/t/a.csv", b"a,y\n1,0\n2,1\n")
    store.pipe("/t/a.jsonl", b'{"a": 1}\n{"a": 2}\n')
    store.pipe("/t/b.jsonl", b'{"a": 3}\n')
    assert read_csv("memory://t/a.csv", "y").features().tolist() == [[1], [2]]
    assert len(read_csv("memory://t/a.csv", "y", cache=tmp_path / "c")) == 2
    decoded = (tmp_path / "c" / "columns.json").stat().st_ino
    set_remote_cache(tmp_path / "other")  # as another process would see it
    assert len(read_csv("memory://t/a.csv", "y", cache=tmp_path / "c")) == 2
    assert (tmp_path / "c" / "columns.json").stat().st_ino == decoded
    for path in ("memory://t", "memory://t/*.jsonl", ["memory://t/a.jsonl", "memory://t/b.jsonl"]):
        assert read_jsonl(path).features().tolist() == [[1], [2], [3]]
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    content = io.BytesIO()
    pq.write_table(pa.table({"a": np.arange(20), "y": np.arange(20) % 2}), content, row_group_size=5)
    store.pipe("/t/a.parquet", content.getvalue())
    assert read_parquet("memory://t/a.parquet", "y", in_memory=False).fetch(torch.tensor([7]))[0].tolist() == [[7]]


def test_folders_on_a_store(store: Any) -> None:
    for name, value in (("dog/2", 20), ("dog/1", 10), ("cat/a", 30), (".hidden/x", 1)):
        store.pipe(f"/pets/{name}.png", png(value))
    source = ImageFolder("memory://pets")
    assert source.labels == ("cat", "dog")
    assert source.fetch(torch.tensor([2, 0]))[0][:, 0, 0, 0].tolist() == [20, 30]
    store.pipe("/pets/dog/3.png", b"no image")
    with pytest.raises(DataError, match=r"memory://.*pets/dog/3\.png: the image does not decode"):
        ImageFolder("memory://pets", size=2).fetch(torch.tensor([3]))
    with pytest.raises(StorageError, match="memory://none: no such folder"):
        ImageFolder("memory://none")


def test_copies_are_used_again_and_bounded(store: Any, tmp_path: Path) -> None:
    cache = set_remote_cache(tmp_path / "small", max_bytes=250)
    for name in "abc":
        store.pipe(f"/f/{name}.jsonl", json.dumps({"a": name * 80}).encode())
    for _ in range(3):
        read_jsonl("memory://f/a.jsonl")
    assert cache.fetched == 1
    for name in "bcabc":
        read_jsonl(f"memory://f/{name}.jsonl")
        assert cache.held() <= 250
    fetched = cache.fetched
    store.pipe("/f/c.jsonl", b'{"a": "new"}')  # another file now: fetched anew
    assert read_jsonl("memory://f/c.jsonl").column("a").values.tolist() == ["new"] and cache.fetched == fetched + 1
    assert len(read_jsonl(["memory://f/a.jsonl", "memory://f/b.jsonl", "memory://f/c.jsonl"] * 2)) == 6
    assert cache.held() <= 250
    store.pipe("/f/d.jsonl", b" " * 300)
    with pytest.raises(StorageError, match=r"d\.jsonl: 300 bytes, more than the cache of 250\. Give it room"):
        read_jsonl("memory://f/d.jsonl")
    with pytest.raises(ConfigError, match="set_remote_cache.max_bytes: got 0, expected a positive number of bytes"):
        set_remote_cache(max_bytes=0)


def test_addresses_that_lead_nowhere(store: Any) -> None:
    with pytest.raises(StorageError, match=r"memory://x/none\.csv: no such file"):
        read_csv("memory://x/none.csv")
    with pytest.raises(StorageError, match=r"memory://x/\*\.jsonl: no file matches"):
        read_jsonl("memory://x/*.jsonl")
    with pytest.raises(StorageError, match="nowhere://a.csv: no way to read such an address"):
        read_csv("nowhere://a.csv")
    with pytest.raises(StorageError, match="path: no files"):
        read_jsonl([])


def test_a_store_that_fails_makes_no_image_a_broken_one(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store.pipe("/pets/cat/a.png", png(1))

    def down(*args: Any, **options: Any) -> Any:
        raise TimeoutError("the store is away")

    monkeypatch.setattr(type(store), "cat_file", down)
    with pytest.raises(StorageError, match=r"a\.png: cannot be read \(TimeoutError: the store is away\)"):
        ImageFolder("memory://pets", errors="skip")


def test_local_paths_never_load_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str, *, extra: str, purpose: str) -> Any:
        raise MissingExtraError(f"{purpose}: {module} from {extra}")

    monkeypatch.setattr(remote, "load_extra", absent)
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "a.png").write_bytes(png(10))
    assert len(ImageFolder(str(tmp_path))) == len(ImageFolder(f"file://{tmp_path}")) == 1
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    assert len(read_jsonl(f"file://{tmp_path}/a.jsonl")) == 1
    with pytest.raises(MissingExtraError, match=r"reading s3://b/a\.csv: fsspec from remote"):
        read_csv("s3://b/a.csv")
