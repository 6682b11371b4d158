"""The workers of one run, seen from one of them. One worker alone takes the same path and talks to nobody."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """Worker `rank` of `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this worker does what is done once: callbacks, files, words."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """`tensor` summed over all workers, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def agree(self, values: list[float]) -> list[float]:
        """The leader's values, on every worker."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(tensor, 0)
        return tensor.tolist()

    def sum_gradients(
        self, parameters: Iterable[nn.Parameter], loss: Tensor, asked: bool = False
    ) -> tuple[Tensor, bool]:
        """Sum all gradients over the workers in one message; returns the summed loss, and whether any was `asked`.

        A worker without rows takes part with zeros. The loss and the question to end ride along, so that all
        workers see the same and decide the same.
        """
        if self.size == 1:
            return loss, asked
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        facts = torch.stack((loss, torch.full_like(loss, float(asked))))
        pieces = [facts, *(parameter.grad.reshape(-1) for parameter in trained if parameter.grad is not None)]
        flat = self.sum(torch.cat(pieces))
        start = 2
        for parameter in trained:
            assert parameter.grad is not None
            parameter.grad.copy_(flat[start : start + parameter.numel()].view_as(parameter.grad))
            start += parameter.numel()
        return flat[0], bool(flat[1] > 0)

    def average_buffers(self, module: nn.Module) -> None:
        """Make running statistics equal: the mean of what the workers saw in their shards."""
        if self.size > 1:
            for buffer in module.buffers():
                if buffer.is_floating_point():
                    self.sum(buffer).div_(self.size)
