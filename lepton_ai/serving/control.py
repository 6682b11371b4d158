"""Commands to a running server's management address."""

import http.client
import json
import urllib.parse

from lepton_ai.bundle import check_name
from lepton_ai.core import ConfigError, RequestError, UnavailableError

_SECONDS = 600  # loading a large model takes a while


def load(name: str, version: str = "", *, at: str, token: str | None = None) -> None:
    """Let the server at `at` load a model's version (default: the newest) and answer with it.

    Raises: RequestError with the server's own reason; UnavailableError if nobody answers there.
    """
    _command(at, _path(name, version, "load"), token)


def unload(name: str, version: str = "", *, at: str, token: str | None = None) -> None:
    """Let the server unload a model's version (default: all of them); see `load`."""
    _command(at, _path(name, version, "unload"), token)


def drain(*, at: str, token: str | None = None) -> None:
    """Let the server stop, as SIGTERM does: it is not ready any more, finishes what was begun, and ends."""
    _command(at, "/drain", token)


def _path(name: str, version: str, verb: str) -> str:
    check_name(name, at="model")
    if version and not version.isdigit():
        raise ConfigError(at="version", got=version, expected="a number")
    return f"/v2/repository/models/{name}{f'/versions/{version}' if version else ''}/{verb}"


def _command(at: str, path: str, token: str | None) -> None:
    parts = urllib.parse.urlsplit(at)
    if parts.scheme != "http" or not parts.hostname:
        raise ConfigError(at="at", got=at, expected="the management address, such as http://127.0.0.1:8082")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=_SECONDS)
    try:
        connection.request("POST", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        reply = connection.getresponse()
        content = reply.read()
    except OSError as error:
        raise UnavailableError(
            f"nobody answers at {at} ({error})", fix="Is the server running? Name it: --at."
        ) from error
    finally:
        connection.close()
    if reply.status != 200:
        try:
            reason = str(json.loads(content)["error"])
        except (ValueError, KeyError, TypeError):
            reason = f"status {reply.status}"
        raise RequestError(reason)
