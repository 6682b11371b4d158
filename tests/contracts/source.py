"""What every source of rows by index promises, whatever stands behind it."""

import abc
from pathlib import Path
from typing import Any

import pytest
import torch

from lepton_ai.data import Indexed, Loader, Schema, Subset, build_profile
from lepton_ai.data.tree import leaves


def alike(one: Any, other: Any) -> bool:
    """Whether two results of `fetch` hold the same."""
    parts = [
        [(at, leaf) for part, at in zip(rows, "xyw", strict=True) for at, leaf in leaves(part, at)]
        for rows in (one, other)
    ]
    return len(parts[0]) == len(parts[1]) and all(
        at == also and torch.equal(torch.nan_to_num(a.double(), nan=-7), torch.nan_to_num(b.double(), nan=-7))
        for (at, a), (also, b) in zip(*parts, strict=True)
    )


class SourceContract(abc.ABC):
    """Subclass it as `Test...` and write `make`: a source of at least 4 rows in a folder that is empty."""

    @abc.abstractmethod
    def make(self, folder: Path) -> Indexed: ...

    @pytest.fixture
    def source(self, tmp_path: Path) -> Indexed:
        return self.make(tmp_path)

    def test_rows_come_in_the_order_asked_for(self, source: Indexed) -> None:
        asked = [3, 0, 3, 1]
        together = source.fetch(torch.tensor(asked))
        for place, row in enumerate(asked):
            alone = source.fetch(torch.tensor([row]))
            cut = [{at: leaf[place : place + 1] for at, leaf in leaves(part, "")} for part in together]
            single = [dict(leaves(part, "")) for part in alone]
            assert alike(cut, single)
        assert alike(source.fetch(torch.tensor(asked)), together)

    def test_no_rows_have_their_shape(self, source: Indexed) -> None:
        nothing, one = (source.fetch(torch.tensor(rows, dtype=torch.int64)) for rows in ([], [0]))
        for part, other in zip(nothing, one, strict=True):
            for (at, leaf), (also, row) in zip(leaves(part, "x"), leaves(other, "x"), strict=True):
                assert (at, len(leaf), leaf.shape[1:], leaf.dtype) == (also, 0, row.shape[1:], row.dtype)

    def test_what_was_fetched_is_the_caller_s(self, source: Indexed) -> None:
        before = source.fetch(torch.arange(3))
        mine = source.fetch(torch.arange(3))
        for part in mine:
            for _, leaf in leaves(part, ""):
                leaf.zero_()
        assert alike(source.fetch(torch.arange(3)), before)

    def test_a_shuffled_pass_holds_each_row_once(self, source: Indexed) -> None:
        rows = list(range(len(source)))
        orders = [source.order(seed, number).tolist() for seed, number in ((0, 0), (0, 1), (0, 0), (1, 0))]
        assert all(sorted(order) == rows for order in orders)
        assert orders[0] == orders[2]
        part = Subset(source, torch.tensor([3, 1, 3]))
        assert sorted(part.order(0, 0).tolist()) == [0, 1, 2]
        assert all(len(leaf) == 2 for _, leaf in leaves(part.fetch(torch.tensor([2, 0]))[0], "x"))

    def test_workers_together_see_what_one_sees(self, source: Indexed) -> None:
        whole = list(Loader(source, 3, shuffle=True, seed=4).epoch(1))
        shares = [list(Loader(source, 3, shuffle=True, seed=4, rank=rank, world=2).epoch(1)) for rank in range(2)]
        for batch, *parts in zip(whole, *shares, strict=True):
            for at, leaf in leaves(batch.x, ""):
                joined = torch.cat([dict(leaves(part.x, ""))[at] for part in parts])
                assert alike((joined, None, None), (leaf, None, None))

    def test_the_targets_in_memory_are_those_fetched(self, source: Indexed) -> None:
        y = source.fetch(torch.arange(len(source)))[1]
        if source.y_all is not None:
            assert torch.equal(source.y_all, y)
        if source.labels:
            assert int(y.min()) >= 0 and int(y.max()) < len(source.labels)

    def test_it_has_a_schema_and_a_profile(self, source: Indexed) -> None:
        Schema.of(source).check(source)
        profile = build_profile(source, names=source.names or None, labels=source.labels or None)
        assert profile.rows == len(source) and len(profile.targets) == (source.fetch(torch.arange(1))[1] is not None)
