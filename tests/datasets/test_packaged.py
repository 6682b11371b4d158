import gzip
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.core import DataError, MissingExtraError
from lepton_ai.datasets.packaged import find_file, read_cached, read_numbers


def test_a_package_that_is_not_there_names_the_extra() -> None:
    with pytest.raises(MissingExtraError) as caught:
        find_file("no_such_package", "a.csv", purpose="mnist_5k")
    assert str(caught.value) == (
        "mnist_5k comes from the package 'no_such_package', which is not installed. "
        "Install it: pip install 'lepton-ai[demo]'."
    )
    with pytest.raises(MissingExtraError, match=r"has no file a\.csv in the version installed here"):
        find_file("numpy", "a.csv", purpose="x")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    whole = gzip.compress(b"1,2\n3,4\n" * 50)
    for content in (whole[:30], b"no gzip", gzip.compress(b"1,x\n"), gzip.compress(b"1,2\n3\n")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.csv\.gz: the file is damaged .* Install its package again"):
            read_numbers(path)


def test_the_cache_is_written_once_checked_and_made_anew(tmp_path: Path) -> None:
    source, folder = tmp_path / "a.csv", tmp_path / "cache" / "deep"
    source.write_text("1,2\n255,0\n")
    expected = np.array([[1, 2], [255, 0]], np.uint8)
    assert np.array_equal(read_cached(source, "a", (2, 2), folder), expected)
    (cached,) = folder.iterdir()
    np.save(cached, expected[::-1])
    assert np.array_equal(read_cached(source, "a", (2, 2), folder), expected[::-1])
    for damage in (b"", cached.read_bytes()[:-1], b"PK\x03\x04"):
        cached.write_bytes(damage)
        assert np.array_equal(read_cached(source, "a", (2, 2), folder), expected)
        assert np.array_equal(np.load(cached), expected)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    source, blocked = tmp_path / "a.csv", tmp_path / "file"
    source.write_text("1,2\n")
    blocked.write_text("")
    assert read_cached(source, "a", (1, 2), blocked).tolist() == [[1, 2]]


def test_numbers_must_be_those_that_were_promised(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("1,256\n")
    for shape in ((1, 2), (1, 3)):
        with pytest.raises(DataError, match="numbers from 0 to 255"):
            read_cached(source, "a", shape, tmp_path)
