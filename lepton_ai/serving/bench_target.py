"""What a bench asks: the requests as bytes, ready to be sent."""

import ssl
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from lepton_ai.bundle import LENGTH_HEADER, Array, Signature, TensorSpec, numpy_dtype, render_request
from lepton_ai.core import ConfigError
from lepton_ai.serving.calls import model_path

ID_DIGITS = 12
BODIES = 16  # different ones, sent in turns: a server that keeps answers should not look faster than it is
_WORDS = ("the", "film", "was", "good", "and", "long", "but", "never", "dull")


class Body(NamedTuple):
    """A body; with `after`, a request's number in 12 digits goes between the two."""

    before: bytes
    after: bytes = b""


class Target(NamedTuple):
    """An address and what is sent there. `numbered`: the answer must hold the number of its request."""

    host: str
    port: int
    head: bytes
    bodies: Sequence[Body]
    tls: ssl.SSLContext | None = None
    numbered: bool = False

    def parts(self, number: int) -> tuple[bytes, ...]:
        """The bytes of a request."""
        body = self.bodies[number % len(self.bodies)]
        if not body.after:
            return self.head, body.before
        return self.head, body.before, b"%0*d" % (ID_DIGITS, number), body.after


def raw_target(
    url: str,
    bodies: Sequence[Body],
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    numbered: bool = False,
) -> Target:
    """Requests of any server; the bodies must be equally long.

    Raises: ConfigError for an address that is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(at="bench(url)", got=url, expected='an address such as "http://127.0.0.1:8080"')
    lengths = {len(body.before) + len(body.after) + (ID_DIGITS if body.after else 0) for body in bodies}
    if len(lengths) != 1:
        raise ConfigError("the bodies have different lengths", at="bench", got=sorted(lengths))
    fields = {"Host": parts.netloc, "Content-Length": str(lengths.pop()), **(headers or {})}
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Target(parts.hostname, port, head.encode("latin-1"), bodies, tls, numbered)


def model_target(
    url: str,
    model: str,
    signature: Signature,
    *,
    version: str = "",
    rows: int = 1,
    binary: bool = True,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> Target:
    """Infer requests for a model: random values of its signature, `rows` at a time, each request with its number."""
    draw = np.random.default_rng(0)
    bodies, length = [], None
    for _ in range(BODIES):
        inputs = {spec.name: random_tensor(spec, rows, draw) for spec in signature.inputs}
        content, length = render_request(inputs, binary=binary, id="#" * ID_DIGITS)
        before, after = content.split(b"#" * ID_DIGITS, 1)
        bodies.append(Body(before, after))
    if not binary:
        # Numbers take more or fewer digits; spaces behind the JSON make the bodies equally long.
        longest = max(len(body.after) for body in bodies)
        bodies = [Body(body.before, body.after.ljust(longest)) for body in bodies]
    headers = {"Content-Type": "application/json" if length is None else "application/octet-stream"}
    if length is not None:
        headers[LENGTH_HEADER] = str(length)
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    address = f"{url.rstrip('/')}{model_path(model, version)}/infer"
    return raw_target(address, bodies, headers=headers, tls=tls, numbered=True)


def random_tensor(spec: TensorSpec, rows: int, draw: np.random.Generator) -> Array:
    """Values such as the dtype suggests: small numbers, all bytes, short texts. Other free sizes are 1."""
    free = [rows, *[1] * len(spec.shape)]
    shape = tuple(free[min(index, 1)] if size == -1 else size for index, size in enumerate(spec.shape))
    if spec.dtype == "BYTES":
        texts = np.empty(shape, dtype=object)
        texts[...] = " ".join(_WORDS)
        return texts
    dtype = numpy_dtype(spec.dtype)
    if spec.dtype == "BF16":  # the upper halves of FP32's bits
        bits = np.asarray(draw.standard_normal(shape), "<f4").view("<u4") >> 16
        return bits.astype("<u2").view(dtype)
    if dtype.kind == "f":
        return np.asarray(draw.standard_normal(shape), dtype)
    if dtype.kind == "b":
        return np.asarray(draw.integers(0, 2, shape), dtype)
    return np.asarray(draw.integers(0, 256 if spec.dtype == "UINT8" else 2, shape), dtype)
