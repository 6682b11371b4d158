import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import rng
from lepton_ai.core import ConfigError

ints = st.integers(-(2**31), 2**31 - 1)


@given(st.lists(ints, min_size=1, max_size=40), st.lists(ints, min_size=1, max_size=10), ints)
@settings(max_examples=60, deadline=None)
def test_numpy_and_torch_draw_the_same_bits(rows: list[int], columns: list[int], key: int) -> None:
    in_numpy = rng.draw(np.array(rows, np.int32), np.array(columns, np.int32), key)
    in_torch = rng.draw(torch.tensor(rows, dtype=torch.int32), torch.tensor(columns, dtype=torch.int32), key)
    assert in_numpy.dtype == np.int32 and in_torch.dtype == torch.int32
    np.testing.assert_array_equal(in_numpy, in_torch.numpy())


def test_mix_is_a_bijection_on_a_sample() -> None:
    values = np.arange(-100_000, 100_000, dtype=np.int32)
    assert np.unique(rng.mix(values)).size == values.size


def test_a_shard_is_the_slice_of_the_whole() -> None:
    rows, columns = torch.arange(64, dtype=torch.int32), torch.arange(33, dtype=torch.int32)
    whole = rng.draw(rows, columns, 7)
    assert torch.equal(rng.draw(rows[10:20], columns, 7), whole[10:20])


def test_draws_look_uniform_and_uncorrelated() -> None:
    bits = rng.draw(np.arange(2000, dtype=np.int32), np.arange(500, dtype=np.int32), rng.derive(0, "x"))
    lanes = bits.view(np.int16).astype(np.float64) / 2**15
    assert abs(lanes.mean()) < 0.002
    assert abs(lanes.var() - 1 / 3) < 0.002
    neighbours = np.corrcoef(lanes[:, :-1].ravel(), lanes[:, 1:].ravel())[0, 1]
    rows = np.corrcoef(lanes[:-1].ravel(), lanes[1:].ravel())[0, 1]
    assert abs(neighbours) < 0.005 and abs(rows) < 0.005


def test_keys_differ_by_every_part_of_the_path() -> None:
    keys = {rng.derive(seed, layer, call) for seed in range(5) for layer in ("a", "b") for call in range(5)}
    assert len(keys) == 50


def test_permutation_is_a_pure_function_of_seed_and_epoch() -> None:
    first = rng.permutation(3, 1, 1000)
    assert sorted(first.tolist()) == list(range(1000))
    np.testing.assert_array_equal(first, rng.permutation(3, 1, 1000))
    assert (first != rng.permutation(3, 2, 1000)).any() and (first != rng.permutation(4, 1, 1000)).any()


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "0"])
def test_set_seed_refuses_what_is_not_a_seed(seed: object) -> None:
    with pytest.raises(ConfigError, match=r"set_seed: got .*, expected an int from 0"):
        rng.set_seed(seed)  # type: ignore[arg-type]


def test_the_step_is_known_inside_its_block_only() -> None:
    context = rng.StepContext(seed=1, epoch=2, positions=torch.arange(3))
    with rng.step_context(context):
        assert rng.current_step() is context
    assert rng.current_step() is None
    assert context.key("dropout") != rng.StepContext(seed=1, epoch=3, positions=None).key("dropout")


def test_a_layer_that_draws_again_in_a_step_gets_the_next_number() -> None:
    context = rng.StepContext(seed=1, epoch=2, positions=torch.arange(3))
    assert [context.next_call("a"), context.next_call("b"), context.next_call("a")] == [0, 0, 1]
    again = rng.StepContext(seed=1, epoch=2, positions=context.positions)
    assert again.next_call("a") == 0
