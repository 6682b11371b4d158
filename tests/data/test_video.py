from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lepton_ai.core import ConfigError, DataError, MissingExtraError
from lepton_ai.data import Loader, Schema, VideoFolder, build_profile


def pictures(values: list[int], size: tuple[int, int] = (8, 6)) -> list[Image.Image]:
    return [Image.new("RGB", size, (value, value, value)) for value in values]


def animate(path: Path, values: list[int], duration: Any = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = pictures(values)
    first.save(path, save_all=True, append_images=rest, duration=duration, loop=0, disposal=0)
    return path


def frames(path: Path, values: list[int]) -> None:
    path.mkdir(parents=True)
    for place, picture in enumerate(pictures(values)):
        picture.save(path / f"{place:03}.png")


def shades(source: VideoFolder, row: int = 0) -> list[int]:
    return [int(value) for value in source.fetch(torch.tensor([row]))[0][0, :, 0, 0, 0]]


def test_animations_and_folders_of_frames(tmp_path: Path) -> None:
    animate(tmp_path / "run" / "b.gif", [0, 60, 120, 240])
    animate(tmp_path / "run" / "c.png", [0, 60, 120, 240])
    frames(tmp_path / "run" / "a", [10, 20, 30, 40, 50, 60])
    frames(tmp_path / "walk" / "d", [7])
    source = VideoFolder(tmp_path, size=(3, 4), frames=2)
    assert source.labels == ("run", "walk") and [Path(file).name for file in source.files] == [
        "a",
        "b.gif",
        "c.png",
        "d",
    ]
    x, y, _ = source.fetch(torch.arange(4))
    assert x.shape == (4, 2, 3, 4, 3) and x.dtype == torch.uint8 and y.tolist() == [0, 0, 0, 1]
    assert [shades(source, row) for row in range(4)] == [[20, 50], [60, 240], [60, 240], [7, 7]]
    assert Schema.of(source).inputs[0].shape == (2, 3, 4, 3)
    assert build_profile(source).inputs["input"][0].kind == "image"
    assert sum(len(batch.x) for batch in Loader(source, 3, shuffle=True).epoch(0)) == 4
    assert VideoFolder(tmp_path, size=2, channels=1).fetch(torch.empty(0, dtype=torch.int64))[0].shape == (
        0,
        16,
        2,
        2,
        1,
    )


def test_frames_are_those_on_the_screen_at_the_time(tmp_path: Path) -> None:
    animate(tmp_path / "k" / "a.gif", [0, 60, 120], duration=[100, 100, 800])
    assert shades(VideoFolder(tmp_path, size=2, frames=2)) == [120, 120]
    assert shades(VideoFolder(tmp_path, size=2, frames=10)) == [0, 60] + [120] * 8
    assert shades(VideoFolder(tmp_path, size=2, frames=4, rate=10)) == [0, 60, 120, 120]
    assert shades(VideoFolder(tmp_path, size=2, frames=3, rate=0.5)) == [0, 120, 120]  # shorter: the last one again


def test_films_come_through_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")
    (tmp_path / "k").mkdir()
    with av.open(str(tmp_path / "k" / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 4_000_000
        for value in range(0, 200, 10):
            picture = Image.new("RGB", (64, 48), (value, value, value))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
    found = np.array(shades(VideoFolder(tmp_path, size=(6, 8), frames=4)))
    np.testing.assert_allclose(found, [20, 70, 120, 170], atol=6)
    found = np.array(shades(VideoFolder(tmp_path, size=(6, 8), frames=3, rate=5)))
    np.testing.assert_allclose(found, [0, 20, 40], atol=6)
    whole = (tmp_path / "k" / "a.mp4").read_bytes()
    (tmp_path / "k" / "b.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"b\.mp4: the film does not decode \(.*errors=\"skip\""):
        VideoFolder(tmp_path, size=2).fetch(torch.tensor([1]))
    source = VideoFolder(tmp_path, size=2, errors="skip")
    assert [Path(file).name for file in source.skipped] == ["b.mp4"] and len(source) == 1

    def absent(module: str, *, extra: str, purpose: str) -> Any:
        raise MissingExtraError(f"{purpose}: {module} from {extra}")

    monkeypatch.setattr("lepton_ai.data.video.load_extra", absent)
    with pytest.raises(MissingExtraError, match=r"decoding a\.mp4: av from video"):
        VideoFolder(tmp_path, size=2).fetch(torch.tensor([0]))


def test_what_does_not_decode(tmp_path: Path) -> None:
    path = animate(tmp_path / "k" / "a.gif", [0, 60, 120, 240])
    (tmp_path / "k" / "b.gif").write_bytes(path.read_bytes()[:20])
    (tmp_path / "k" / "empty").mkdir()
    source = VideoFolder(tmp_path, size=2)
    with pytest.raises(DataError, match=r"b\.gif: the film does not decode"):
        source.fetch(torch.tensor([1]))
    with pytest.raises(DataError, match=r"empty: the film does not decode \(no frames\)"):
        source.fetch(torch.tensor([2]))
    assert len(VideoFolder(tmp_path, size=2, errors="skip").skipped) == 2
    with pytest.raises(DataError, match=r"empty: a folder of images, which have no times\. Leave rate out"):
        VideoFolder(tmp_path, size=2, rate=3)


def test_settings(tmp_path: Path) -> None:
    animate(tmp_path / "k" / "a.gif", [0, 60])
    for name, value, text in (
        ("channels", 2, "got 2, expected 1, 3 or 4"),
        ("frames", 0, "got 0, expected a positive int"),
        ("rate", 0, "got 0, expected frames in a second, a positive number"),
        ("size", 0, "got 0, expected \\(height, width\\), two positive ints"),
        ("errors", "no", "got 'no', expected 'raise' or 'skip'"),
    ):
        with pytest.raises(ConfigError, match=f"VideoFolder.{name}: {text}"):
            VideoFolder(tmp_path, **{"size": 2, name: value})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="class 'b' has no films. Add some or remove it"):
        (tmp_path / "b").mkdir()
        VideoFolder(tmp_path, size=2)
