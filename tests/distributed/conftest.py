"""The two ways by which the workers of one machine can reach each other."""

import pytest

from lepton_ai.distributed import shared_memory


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked workers find no memory that they share, as if they were on different machines."""
    monkeypatch.setattr(shared_memory, "_shared", lambda *_: None)


@pytest.fixture(params=["memory", "sockets"])
def way(request: pytest.FixtureRequest) -> str:
    """One of the two, for the workers that this test forks."""
    if request.param == "sockets":
        request.getfixturevalue("sockets")
    return str(request.param)
