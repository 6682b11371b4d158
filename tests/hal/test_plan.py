from pathlib import Path

import pytest
import torch

from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.hal import (
    ChosenPlan,
    ExecutionPlan,
    applied,
    chosen_plans,
    get_device,
    get_plan,
    place,
    recall,
    remember,
)


def test_threads_are_set_inside_and_given_back() -> None:
    before = torch.get_num_threads()
    with applied(ExecutionPlan(threads=1, device="cpu")) as device:
        assert torch.get_num_threads() == 1 and device.type == "cpu"
    assert torch.get_num_threads() == before


def denormal(rows: int = 400_000) -> float:
    """The share of products that are below the normal numbers and not 0, over all threads."""
    return float((torch.full((rows,), 1e-40) * 1 != 0).float().mean())


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_are_flushed_by_all_threads_in_training_alone(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert denormal() == 1  # the threads that there are now
        with applied(ExecutionPlan(device="cpu"), training=True):
            assert denormal() == 0
            with applied(ExecutionPlan(device="cpu"), training=True):
                pass
            assert denormal() == 0
        assert denormal() == 1
        with applied(ExecutionPlan(device="cpu")):
            assert denormal() == 1
        with applied(ExecutionPlan(device="cpu", flush_denormals=False), training=True):
            assert denormal() == 1
    finally:
        torch.set_num_threads(before)


def test_bfloat16_computes_products_in_bfloat16() -> None:
    with applied(ExecutionPlan(precision="bfloat16", device="cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_plans_that_cannot_be_are_refused() -> None:
    assert get_plan("default") == ExecutionPlan()
    with pytest.raises(UnknownNameError, match="unknown plan 'defalt'. Did you mean 'default'"):
        get_plan("defalt")
    with pytest.raises(UnknownNameError, match="unknown precision 'float23'. Did you mean 'float32'"):
        get_plan(ExecutionPlan(precision="float23"))
    with pytest.raises(ConfigError, match=r"threads: got 0, expected a positive int"):
        get_plan(ExecutionPlan(threads=0))
    with pytest.raises(ConfigError, match="device 'tpu9' cannot be used here"):
        get_device("tpu9")


def test_weights_of_rank_4_alone_are_laid_channels_last() -> None:
    module = torch.nn.ModuleList([torch.nn.Conv2d(2, 3, 3), torch.nn.Conv3d(2, 3, 3)])
    place(module, ExecutionPlan(), torch.device("cpu"))
    flat, deep = module[0].weight, module[1].weight
    assert isinstance(flat, torch.Tensor) and isinstance(deep, torch.Tensor)
    assert flat.is_contiguous(memory_format=torch.channels_last) and deep.is_contiguous()


def test_a_single_channel_gets_the_strides_that_convolutions_go_by() -> None:
    conv = torch.nn.Conv2d(1, 4, 3)
    before = conv.weight.detach().clone()
    conv.weight.data = conv.weight.data.as_strided((4, 1, 3, 3), (9, 9, 3, 1))
    assert not conv(torch.rand(2, 1, 8, 8)).is_contiguous(memory_format=torch.channels_last)
    place(conv, ExecutionPlan(), torch.device("cpu"))
    assert torch.equal(conv.weight, before)
    assert conv(torch.rand(2, 1, 8, 8)).is_contiguous(memory_format=torch.channels_last)
    where = conv.weight.data_ptr()
    place(conv, ExecutionPlan(), torch.device("cpu"))
    assert conv.weight.data_ptr() == where


def test_plans_that_won_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert chosen_plans() == [] and recall("k") is None
    chosen = ChosenPlan(key="k", work="a net", plan=ExecutionPlan(threads=1), gain=1.25, seconds=2.0)
    remember(chosen)
    assert recall("k") == chosen and chosen.describe() == "threads=1, 1.25x over default"
    for path in tmp_path.rglob("*.json"):
        path.write_text("{")
    assert chosen_plans() == []
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "file")
    (tmp_path / "file").write_text("")
    remember(chosen)  # nowhere to write, and no harm
    assert recall("k") is None
