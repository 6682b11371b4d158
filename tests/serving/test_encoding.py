"""Compressed bodies: read within limits, written where they were asked for."""

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import RequestError, TooLargeError
from lepton_ai.serving.encoding import choose, pack, unpack
from lepton_ai.serving.errors import UnsupportedEncodingError


@given(content=st.binary(max_size=3000), encoding=st.sampled_from(["gzip", "deflate"]))
@settings(max_examples=50, deadline=None)
def test_both_ways(content: bytes, encoding: str) -> None:
    packed = pack(content * 3, encoding)
    if packed is None:
        assert len(content) * 3 < 1024
    else:
        assert unpack(packed, encoding.upper(), limit=10_000) == content * 3


def test_what_others_wrote() -> None:
    assert unpack(gzip.compress(b"abc"), "gzip", limit=10) == b"abc"
    assert unpack(zlib.compress(b"abc"), " deflate ", limit=10) == b"abc"
    assert unpack(b"abc", "identity", limit=1) == b"abc"


# Without the time: parameters name the test, and all processes must know it by one name.
@pytest.mark.parametrize(
    ("body", "encoding", "error", "text"),
    [
        (b"abc", "br", UnsupportedEncodingError, "Content-Encoding 'br' is not supported. Use gzip or deflate"),
        (b"abc", "gzip, gzip", UnsupportedEncodingError, "'gzip, gzip' is not supported"),
        (b"abc", "gzip", RequestError, "the body is not gzip"),
        (b"", "gzip", RequestError, "the gzip body was cut short"),
        (gzip.compress(b"abc", mtime=0)[:-1], "gzip", RequestError, "the gzip body was cut short"),
        (gzip.compress(b"abc", mtime=0) + b"x", "gzip", RequestError, "the gzip body is followed by more"),
        (gzip.compress(b"a" * 101, mtime=0), "gzip", TooLargeError, "the body unpacks to more than 100 bytes"),
    ],
)
def test_refusals(body: bytes, encoding: str, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        unpack(body, encoding, limit=100)
    assert text in str(caught.value)


def test_bombs_are_stopped_early() -> None:
    bomb = gzip.compress(b"\0" * 2**26)
    with pytest.raises(TooLargeError, match="unpacks to more than"):
        unpack(bomb, "gzip", limit=2**40)  # by the ratio
    with pytest.raises(TooLargeError, match="unpacks to more than 2000000 bytes"):
        unpack(bomb, "gzip", limit=2_000_000)


def test_what_clients_accept() -> None:
    assert [choose(each) for each in ("gzip, deflate, br", "deflate", "*", "gzip;q=x", "identity", "gzip; q=0.1")] == [
        "gzip", "deflate", "", "", "", "gzip",
    ]  # fmt: skip
