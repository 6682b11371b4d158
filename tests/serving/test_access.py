"""Who may ask, and how much."""

import hmac
import logging

import pytest

from lepton_ai.core import ConfigError
from lepton_ai.serving import Access, ForbiddenError, Security, ServerConfig, TooManyRequestsError, UnauthorizedError
from lepton_ai.serving.access import Admission, Hosts, is_loopback

TOKEN = "a-token-of-some-length"


def test_only_the_token_opens() -> None:
    access = Access(TOKEN)
    for good in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "):
        access.check(good)
    for bad in ("", TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \udcff"):
        with pytest.raises(UnauthorizedError, match="a token is needed. Send the header: Authorization: Bearer TOKEN."):
            access.check(bad)
    assert not access.open and Access().open
    Access().check("")


def test_tokens_are_compared_in_constant_time_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.raises(UnauthorizedError) as caught:
        Access(TOKEN).check("Bearer short")
    assert len(compared) == 1 and len(compared[0][0]) == len(compared[0][1]) == 32
    assert TOKEN not in str(caught.value) and TOKEN not in repr(Security(token=TOKEN))
    assert TOKEN not in repr(vars(Access(TOKEN))) and logging.getLogger("lepton_ai").level == 0


@pytest.mark.parametrize("token", ["short", "", "with a line\nbreak in it", "ünïcödé-token-of-length"])
def test_weak_tokens_are_refused(token: str) -> None:
    with pytest.raises(ConfigError, match=r"expected at least 16 printable ASCII.*secrets.token_urlsafe"):
        Access(token)


def test_the_names_of_the_server() -> None:
    for host in ("localhost", "LOCALHOST:8080", "127.0.0.1:80", "[::1]:80", "[::1]"):
        Hosts((), host="127.0.0.1").check(host)
    for host in ("evil.example", "evil.example:8080", "", "127.0.0.1.evil.example", "[::2]"):
        with pytest.raises(ForbiddenError, match="this server is not called"):
            Hosts((), host="127.0.0.1").check(host)
    Hosts((), host="0.0.0.0").check("anything")
    with pytest.raises(ForbiddenError):
        Hosts(("models.example",), host="0.0.0.0").check("other.example")
    Hosts(("models.example",), host="0.0.0.0").check("models.example:443")


def test_requests_in_flight_are_counted_for_each_client() -> None:
    admission = Admission(ServerConfig(client_requests=2))
    admission.enter("a")
    admission.enter("a")
    admission.enter("b")
    with pytest.raises(TooManyRequestsError, match="2 of your requests are being answered already"):
        admission.enter("a")
    admission.leave("a")
    admission.enter("a")
    for client in ("a", "a", "b"):
        admission.leave(client)
    assert not admission._in_flight


def test_a_bucket_refills() -> None:
    now = 0.0
    admission = Admission(ServerConfig(client_rate=2.0, client_burst=3), clock=lambda: now)
    for _ in range(3):
        admission.enter("a")
    with pytest.raises(TooManyRequestsError, match="more than 2 requests a second. Try again in a moment.") as caught:
        admission.enter("a")
    assert caught.value.retry_after == 1
    admission.enter("b")
    now = 0.5
    admission.enter("a")
    with pytest.raises(TooManyRequestsError):
        admission.enter("a")
    now = 100.0
    for _ in range(3):
        admission.enter("a")
    with pytest.raises(TooManyRequestsError):
        admission.enter("a")


def test_clients_are_not_remembered_for_ever() -> None:
    admission = Admission(ServerConfig(client_rate=1.0))
    for number in range(10_100):
        admission.enter(str(number))
    assert len(admission._buckets) == 10_000


def test_loopback() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost") and is_loopback("127.9.9.9")
    assert not is_loopback("0.0.0.0") and not is_loopback("example.org") and not is_loopback("::")
