"""What every test gets: one thread, Ctrl-C as in a terminal, and the seed as it was."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same examples each time: a run in CI fails for what changed, not for what was drawn.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c() -> None:
    # A shell starts what runs in its background with Ctrl-C ignored, and the tests of it would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    from lepton_ai.rng import set_seed

    set_seed(0)
    yield
    set_seed(0)
