"""Gradients summed over the workers while the backward pass goes on.

torch's DistributedDataParallel does so too, but takes the mean over workers, wants one forward and one backward pass
for each step, and has no place for a worker without rows. Here parts weigh what their rows do, a step may be made in
pieces, and the loss travels along.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lepton_ai.distributed.world import World

BUCKET = 2**22
"""Bytes of gradients that travel together: enough that a message costs more than its start."""


FACTS = 4
"""Numbers that ride along with the gradients."""


@dataclass
class _Bucket:
    """Weights whose gradients travel together, their places in `flat`, and the message under way."""

    flat: Tensor
    weights: list[nn.Parameter]
    views: list[Tensor] = field(default_factory=list)
    waiting: set[int] = field(default_factory=set)  # the places of weights whose gradients are not there
    work: dist.Work | None = None


class Gradients:
    """The gradients of `parameters` over all workers.

    `begin` before the backward pass lets each bucket leave as soon as its gradients are there; `end` waits for all.
    A step that has no one backward pass calls `end` alone. `close` takes the hooks off. Where a backward pass has
    exchanges of its own, the gradients need a `group` of their own: its answers must not be taken for theirs.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], world: World, wire: torch.dtype = torch.float32, group: Any = None
    ) -> None:
        self.world = world
        # Roughly in the order in which gradients come; buckets leave in one order, the same on all workers.
        groups = _grouped([each for each in parameters if each.requires_grad][::-1])
        self._buckets = [_bucket(group, wire, FACTS if group is groups[-1] else 0) for group in groups]
        self._next, self._begun = 0, False
        # Through shared memory the sum is the processors' own work: they have nothing to do meanwhile.
        self._early = any(world.memory(bucket.flat.device) is None for bucket in self._buckets)
        self._group = group
        self._hooks = [
            weight.register_post_accumulate_grad_hook(self._taken(bucket, place))  # type: ignore[no-untyped-call]
            for bucket in self._buckets
            for place, weight in enumerate(bucket.weights)
        ]
        self.bytes_per_step = sum(bucket.flat.numel() * bucket.flat.element_size() for bucket in self._buckets)

    @property
    def sent(self) -> bool:
        """Whether part of this step's gradients has left."""
        return self._begun and self._next > 0

    def begin(self) -> None:
        """The backward pass that comes is the only one of this step."""
        self._reset()
        self._begun = True

    def end(self, facts: Tensor) -> Tensor:
        """Leave the sums in the weights; returns the sum of `facts`, `(FACTS,)`. What has no gradient here counts as
        zeros."""
        if not self._begun:
            self._reset()
        self._begun = False
        if not self._buckets:
            return self.world.sum(facts.clone())
        last = self._buckets[-1].flat
        rides = last.dtype == facts.dtype
        if rides:
            last[:FACTS] = facts
        for bucket in self._buckets[self._next :]:
            for place in bucket.waiting:
                _put(bucket.weights[place].grad, bucket.views[place])
            if self._early:
                self._send(bucket)
        if not rides:
            facts = self.world.sum(facts.clone())
        for bucket in self._buckets:
            if bucket.work is None:
                self.world.sum(bucket.flat)
            else:
                self.world.exchange(bucket.work.wait)
            for weight, view in zip(bucket.weights, bucket.views, strict=True):
                weight.grad = view if view.dtype == weight.dtype else view.to(weight.dtype)
        return last[:FACTS].clone() if rides else facts

    def close(self) -> None:
        """Leave the weights as they were, without hooks."""
        for hook in self._hooks:
            hook.remove()

    def _reset(self) -> None:
        self._next = 0
        for bucket in self._buckets:
            bucket.waiting = set(range(len(bucket.weights)))

    def _taken(self, bucket: _Bucket, place: int) -> Callable[[Tensor], None]:
        def hook(weight: Tensor) -> None:
            if not self._begun:
                return  # the step is made in pieces
            _put(weight.grad, bucket.views[place])
            bucket.waiting.discard(place)
            # The last one waits for the facts.
            while self._early and self._next < len(self._buckets) - 1 and not self._buckets[self._next].waiting:
                self._send(self._buckets[self._next])
                self._next += 1

        return hook

    def _send(self, bucket: _Bucket) -> None:
        bucket.work = self.world.exchange(self._start, bucket.flat)

    def _start(self, flat: Tensor) -> dist.Work | None:
        work: dist.Work | None = dist.all_reduce(flat, group=self._group, async_op=True)
        return work


def _put(gradient: Tensor | None, view: Tensor) -> None:
    if gradient is None:
        view.zero_()
    elif gradient is not view:
        view.copy_(gradient)


def _grouped(weights: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """In the order in which their gradients come, roughly; what differs in dtype or device apart."""
    groups: list[list[nn.Parameter]] = []
    room, kind = 0, None
    for weight in weights:
        size = weight.numel() * weight.element_size()
        if not groups or size > room or kind != (weight.dtype, weight.device):
            groups.append([])
            room, kind = BUCKET, (weight.dtype, weight.device)
        groups[-1].append(weight)
        room -= size
    return groups


def _bucket(weights: list[nn.Parameter], wire: torch.dtype, facts: int) -> _Bucket:
    first = weights[0]
    dtype = wire if first.dtype == torch.float32 else first.dtype
    size = facts + sum(each.numel() for each in weights)
    bucket = _Bucket(torch.zeros(size, dtype=dtype, device=first.device), weights)
    start = facts
    for weight in weights:
        piece = bucket.flat[start : start + weight.numel()]
        # In the weight's own strides, which fused optimisers walk by.
        dense = torch.empty_like(weight).stride()
        bucket.views.append(piece.as_strided(weight.shape, dense, piece.storage_offset()))
        start += weight.numel()
    return bucket
