"""Who may ask, and how much: the token, the names by which the server is called, and each client's own limits."""

import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

from lepton_ai.core import ConfigError
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.errors import ForbiddenError, TooManyRequestsError, UnauthorizedError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
SHORTEST_TOKEN = 16  # characters
_MOST_CLIENTS = 10_000
_SCHEME = "bearer "


class Access:
    """The token. Only its hash is kept, so that nothing can print it."""

    def __init__(self, token: str | None = None) -> None:
        """`token`, or None: whoever reaches the server may ask.

        Raises: ConfigError for a token that is short or not plain.
        """
        if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
            raise ConfigError(
                f"a token of {len(token)} characters",
                at="token",
                expected=f"at least {SHORTEST_TOKEN} printable ASCII characters, no spaces",
                fix='Make one: python -c "import secrets; print(secrets.token_urlsafe())".',
            )
        self._digest = None if token is None else _digest(token)

    @property
    def open(self) -> bool:
        """Whether nobody needs a token."""
        return self._digest is None

    def check(self, authorization: str) -> None:
        """Whether the header `Authorization: Bearer TOKEN` carries the token; takes as long for every wrong one.

        Raises: UnauthorizedError, which tells nothing of either.
        """
        if self._digest is None:
            return
        given = authorization[len(_SCHEME) :].strip() if authorization[: len(_SCHEME)].lower() == _SCHEME else ""
        if not hmac.compare_digest(_digest(given), self._digest):
            raise UnauthorizedError("a token is needed", fix="Send the header: Authorization: Bearer TOKEN.")


class Hosts:
    """The names of the header Host that are answered: otherwise any page could send a browser's requests here."""

    def __init__(self, names: tuple[str, ...], *, host: str) -> None:
        """`names`, or by default this machine's own if the server listens on `host` for this machine alone."""
        if not names and is_loopback(host):
            names = (*LOOPBACK_NAMES, f"[{host}]" if ":" in host else host)
        self._names = frozenset(name.lower() for name in names)

    def check(self, host: str) -> None:
        """Raises: ForbiddenError for a name that is not ours."""
        if self._names and _without_port(host.lower()) not in self._names:
            raise ForbiddenError(
                f"this server is not called {host[:100]!r}", fix="Allow the name: ServerConfig(hosts=...)."
            )


class Admission:
    """Each client's requests in flight, and its rate, by a bucket of tokens that refills."""

    def __init__(self, config: ServerConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._rate, self._burst = config.client_requests, config.client_rate, float(config.client_burst)
        self._clock = clock
        self._in_flight: dict[str, int] = {}
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted
        self.limited = bool(self._most or self._rate)

    def enter(self, client: str) -> None:
        """A request of `client` begins; `leave` when it ends.

        Raises: TooManyRequestsError, and then nothing began.
        """
        if self._most and self._in_flight.get(client, 0) >= self._most:
            raise TooManyRequestsError(f"{self._most} of your requests are being answered already")
        if self._rate:
            self._spend(client)
        if self._most:
            self._in_flight[client] = self._in_flight.get(client, 0) + 1

    def leave(self, client: str) -> None:
        """A request of `client` ended."""
        if self._most:
            left = self._in_flight[client] - 1
            if left:
                self._in_flight[client] = left
            else:
                del self._in_flight[client]

    def _spend(self, client: str) -> None:
        now = self._clock()
        tokens, then = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        enough = tokens >= 1
        self._buckets[client] = (tokens - 1 if enough else tokens, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)  # the one that has been quiet longest: its bucket is full or nearly so
        if not enough:
            seconds = (1 - tokens) / self._rate
            raise TooManyRequestsError(f"more than {self._rate:g} requests a second", retry_after=int(seconds) + 1)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
