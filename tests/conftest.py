"""What every test gets: one thread, and the seed as it was."""

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


@pytest.fixture(autouse=True)
def _seed() -> Iterator[None]:
    from lepton_ai.rng import set_seed

    set_seed(0)
    yield
    set_seed(0)
