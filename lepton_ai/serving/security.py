"""Who reaches the server, and what that takes."""

import socket

import msgspec

from lepton_ai.core import ConfigError
from lepton_ai.serving.access import is_loopback
from lepton_ai.serving.tls import Tls


class Security(msgspec.Struct, frozen=True, kw_only=True):
    """An address that others can reach needs a `token`, or `tls` that asks clients for certificates; or `insecure`,
    for a network you trust.
    """

    token: str | None = None
    tls: Tls | None = None
    insecure: bool = False

    def __repr__(self) -> str:
        return f"Security(token={'...' if self.token else None}, tls={self.tls}, insecure={self.insecure})"

    def check(self, host: str) -> None:
        """Raises: ConfigError for a host that needs more."""
        asked = self.token is not None or (self.tls is not None and self.tls.client_ca is not None)
        if not is_loopback(host) and not asked and not self.insecure:
            raise ConfigError(
                at="serve(host)",
                got=host,
                expected="a loopback address such as 127.0.0.1, or a token: others can reach this one",
                fix="Pass Security(token=...) (lepton serve: --token-file), or insecure=True (--insecure) in a network "
                "you trust.",
            )


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address; `shared`: other processes may bind the same.

    Raises: ConfigError if it is taken or no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error})",
            at="serve(host, port)",
            fix="Choose another port, or 0 for a free one.",
        ) from error
    return bound


def url_of(host: str, port: int, *, secure: bool = False) -> str:
    """The address as clients write it."""
    return f"http{'s' if secure else ''}://{f'[{host}]' if ':' in host else host}:{port}"
