from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lepton_ai.core import ConfigError, DataError, ShapeError, StorageError, this_machine
from lepton_ai.data import ImageFolder, Loader


def save(path: Path, value: int, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255)[: len(mode)] + (255,) * (len(mode) - 3)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "dog" / "2.png", 20)
    save(tmp_path / "dog" / "1.png", 10)
    save(tmp_path / "cat" / "a.PNG", 30)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_images_come_in_sorted_order_channels_last(folder: Path) -> None:
    source = ImageFolder(folder)
    assert source.labels == ("cat", "dog")
    assert [Path(file).name for file in source.files] == ["a.PNG", "1.png", "2.png"]
    x, y, weight = source.fetch(torch.tensor([2, 0]))
    assert x.shape == (2, 4, 6, 3) and x.dtype == torch.uint8
    assert x[:, 0, 0].tolist() == [[20, 0, 255], [30, 0, 255]]
    assert y.tolist() == [1, 0] and weight is None
    assert source.y_all.tolist() == [0, 1, 1]
    assert source.fetch(torch.empty(0, dtype=torch.int64))[0].shape == (0, 4, 6, 3)


@pytest.mark.parametrize(("channels", "shape"), [(1, (8, 2, 1)), (3, (8, 2, 3)), (4, (8, 2, 4))])
def test_size_and_channels(folder: Path, channels: int, shape: tuple[int, ...]) -> None:
    assert ImageFolder(folder, size=(8, 2), channels=channels).fetch(torch.tensor([0]))[0].shape[1:] == shape


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.array([[0, 256, 40000, 65535]], np.uint16)).save(tmp_path / "a" / "deep.png")
    assert ImageFolder(tmp_path, channels=1).fetch(torch.tensor([0]))[0].flatten().tolist() == [0, 1, 156, 255]


def test_turned_photographs_are_set_upright(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "a" / "turned.jpg", exif=exif)
    source = ImageFolder(tmp_path)
    assert source.size == (6, 4)
    assert source.fetch(torch.tensor([0]))[0].shape == (1, 6, 4, 3)


def test_palettes_with_transparency_warn_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    image = Image.new("P", (2, 2))
    image.putpalette([255, 0, 0] * 256)
    image.save(tmp_path / "a" / "p.png", transparency=bytes([0] * 256))
    assert ImageFolder(tmp_path).fetch(torch.tensor([0]))[0][0, 0, 0].tolist() == [255, 0, 0]


def test_a_broken_image_is_named_or_left_out(folder: Path) -> None:
    whole = (folder / "dog" / "2.png").read_bytes()
    (folder / "dog" / "2.png").write_bytes(whole[: len(whole) - 30])
    with pytest.raises(DataError, match=r"2\.png: the image does not decode .* errors=\"skip\""):
        ImageFolder(folder).fetch(torch.tensor([2]))
    (folder / "cat" / "b.jpg").write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"b\.jpg: the image does not decode"):
        ImageFolder(folder)
    source = ImageFolder(folder, errors="skip")
    assert [Path(file).name for file in source.skipped] == ["b.jpg", "2.png"]
    assert source.y_all.tolist() == [0, 1] and len(source) == 2


def test_nothing_that_decodes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 images decodes"):
        ImageFolder(tmp_path, errors="skip")


def test_sizes_that_differ_need_one(folder: Path) -> None:
    save(folder / "dog" / "3.png", 1, size=(5, 5))
    with pytest.raises(ShapeError, match=r"a\.PNG is \(4, 6\), 3\.png is \(5, 5\).*size="):
        ImageFolder(folder)
    assert ImageFolder(folder, size=3).fetch(torch.tensor([3]))[0].shape == (1, 3, 3, 3)


def test_folders_that_hold_no_classes(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such folder"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(DataError, match="no class folders. Put the images into one folder per class"):
        ImageFolder(tmp_path)
    save(tmp_path / "1.png", 0)
    with pytest.raises(DataError, match="1 images but no class folders"):
        ImageFolder(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="class 'train' has no images. Add some or remove it"):
        ImageFolder(tmp_path)
    save(tmp_path / "train" / "cat" / "1.png", 0)
    with pytest.raises(DataError, match=r"holds folders \(cat\): did you mean '.*train'\?"):
        ImageFolder(tmp_path)


def test_decoded_images_are_kept_within_a_bound(folder: Path) -> None:
    source = ImageFolder(folder, cache_bytes=2 * 4 * 6 * 3)
    assert source.fetch(torch.tensor([0, 1]))[0].equal(source.fetch(torch.tensor([0, 1]))[0])
    assert (source.cache.hits, source.cache.misses) == (2, 2)
    for _ in range(3):
        source.fetch(torch.arange(3))
    assert source.cache.peak == source.cache.max_bytes == 144
    assert ImageFolder(folder).cache.max_bytes == this_machine().memory // 8


def test_threads_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in range(40):
        save(tmp_path / f"{value % 3}" / f"{value}.png", value)
    orders = []
    for threads in (1, 8):
        monkeypatch.setattr("lepton_ai.data.folder.THREADS", threads)
        loader = Loader(ImageFolder(tmp_path), 7, shuffle=True, seed=2)
        orders.append([(batch.x[:, 0, 0, 0].tolist(), batch.y.tolist()) for batch in loader.epoch(1)])
    assert orders[0] == orders[1]


def test_settings(folder: Path) -> None:
    with pytest.raises(ConfigError, match="channels: got 2, expected 1, 3 or 4"):
        ImageFolder(folder, channels=2)
    with pytest.raises(ConfigError, match="errors: got 'ignore'"):
        ImageFolder(folder, errors="ignore")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="size: got 0"):
        ImageFolder(folder, size=0)
