"""What every test gets: one thread, and the seed as it was."""

from collections.abc import Iterator

import pytest


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
