import pytest
import torch

from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.hal import ExecutionPlan, applied, get_device, get_plan, place


def test_threads_are_set_inside_and_given_back() -> None:
    before = torch.get_num_threads()
    with applied(ExecutionPlan(threads=1, device="cpu")) as device:
        assert torch.get_num_threads() == 1 and device.type == "cpu"
    assert torch.get_num_threads() == before


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
