"""The workers of one run, seen from one of them. One worker alone takes the same path and talks to nobody."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lepton_ai.core import WorkerError
from lepton_ai.distributed.roll_call import LostWorkerError, lost
from lepton_ai.distributed.shared_memory import SharedMemory, common_memory


def _nowhere() -> str:
    return "an exchange"


@dataclass(frozen=True)
class World:
    """Worker `rank` of `size`. `where` says in words where this worker is, for errors.

    Every exchange raises LostWorkerError, with the ranks that are missing, when another worker does not take part.
    """

    rank: int = 0
    size: int = 1
    where: Callable[[], str] = field(default=_nowhere, compare=False)

    @property
    def leads(self) -> bool:
        """Whether this worker does what is done once: callbacks, files, words."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """`tensor` summed over all workers, in place."""
        if self.size > 1:
            memory = self.memory(tensor.device)
            if memory is None:
                self.exchange(dist.all_reduce, tensor)
            else:
                flat = tensor.view(-1)
                self.exchange(memory.add, flat[None], flat)
        return tensor

    def memory(self, device: torch.device) -> SharedMemory | None:
        """What the workers share, if this is one machine and its processors compute. The first call is an exchange."""
        if self.size == 1 or device.type != "cpu":
            return None
        memory: SharedMemory | None = self.exchange(common_memory)
        return memory

    def most(self, tensor: Tensor) -> Tensor:
        """The largest of each element over all workers, in place."""
        if self.size > 1:
            self.exchange(dist.all_reduce, tensor, dist.ReduceOp.MAX)
        return tensor

    def agree(self, values: list[float]) -> list[float]:
        """The leader's values, on every worker."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        self.exchange(dist.broadcast, tensor, 0)
        return tensor.tolist()

    def barrier(self) -> None:
        """Return when all workers are here."""
        self.sum(torch.zeros(1))

    def told(self, text: bytes) -> bytes:
        """The leader's bytes, on every worker."""
        if self.size == 1:
            return text
        (length,) = self.agree([float(len(text))])
        content = torch.frombuffer(bytearray(text), dtype=torch.uint8) if self.leads else None
        if content is None:
            content = torch.zeros(int(length), dtype=torch.uint8)
        self.exchange(dist.broadcast, content, 0)
        return content.numpy().tobytes()

    def ordered_sum(self, parts: Tensor) -> Tensor:
        """The sum over all rows of all workers' `parts`, `(rows, elements)`: one after the other, by rank and row.

        So its bits depend on the rows alone, not on who has which. Each worker adds up its share of the elements.
        """
        rows, elements = parts.shape
        if self.size == 1:
            return _in_order(parts)
        memory = self.memory(parts.device)
        if memory is not None:
            whole = parts.new_empty(elements)
            self.exchange(memory.add, parts, whole)
            return whole
        share = -(-elements // self.size)
        sent = parts.new_zeros((rows, self.size * share))
        sent[:, :elements] = parts
        sent = sent.view(rows, self.size, share).transpose(0, 1).contiguous()
        received = torch.empty_like(sent)
        self.exchange(dist.all_to_all_single, received, sent)
        mine = _in_order(received.view(self.size * rows, share))
        whole = parts.new_empty(self.size * share)
        self.exchange(dist.all_gather_single, whole, mine)
        return whole[:elements]

    def lead(self, module: nn.Module) -> None:
        """Give all workers the leader's weights and statistics.

        Raises: WorkerError where the module is another one than the leader's.
        """
        if self.size == 1:
            return
        state = module.state_dict()
        own = "\n".join(f"{name} {tuple(value.shape)} {value.dtype}" for name, value in state.items())
        theirs = self.told(own.encode()).decode()
        same = theirs == own
        if int(self.sum(torch.tensor([float(same)]))) != self.size:
            if same:
                raise LostWorkerError("another worker trains another model than this one")
            pairs = zip([*theirs.splitlines(), "nothing"], [*own.splitlines(), "nothing"], strict=False)
            shown = next((f": {mine}, not {first}" for first, mine in pairs if mine != first), "")
            raise WorkerError(
                f"worker {self.rank} of {self.size} does not train the model of all others{shown}",
                fix="Let the program build the same model on each worker.",
            )
        with torch.no_grad():
            for value in state.values():
                held = value.contiguous()
                self.exchange(dist.broadcast, held, 0)
                if held is not value:
                    value.copy_(held)

    def average(self, module: nn.Module, *, weights: bool = False) -> None:
        """Make running statistics equal, the mean over the workers; and the weights that train, if asked to."""
        if self.size == 1:
            return
        with torch.no_grad():
            for value in (*module.buffers(), *(module.parameters() if weights else ())):
                if value.is_floating_point() and (value.requires_grad or not isinstance(value, nn.Parameter)):
                    value.copy_(self.sum(value.detach().clone(memory_format=torch.contiguous_format)).div_(self.size))

    def exchange(self, collective: Callable[..., Any], *arguments: Any) -> Any:
        """`collective(*arguments)`, with an error that names who is missing."""
        began = time.monotonic()
        try:
            return collective(*arguments)
        except RuntimeError as error:
            raise lost(self.rank, self.size, self.where(), time.monotonic() - began, error) from error


def _in_order(rows: Tensor) -> Tensor:
    total = rows[0].clone()
    for row in rows[1:]:
        total += row
    return total
