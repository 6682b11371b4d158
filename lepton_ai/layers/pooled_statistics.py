"""Batch normalisation over a batch that several workers hold parts of: the statistics of the whole batch."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass
class Pool:
    """How the parts of a batch are added up: `sum` gives a tensor summed over all workers, in place.

    `empty` says that this worker's rows only stand in for a part without rows, and do not count: it takes part in
    every sum, since the others would wait for it.
    """

    sum: Callable[[Tensor], Tensor]
    empty: bool = False

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, this worker asks nobody: its own rows are the batch."""
        held, self.sum = self.sum, lambda tensor: tensor
        try:
            yield
        finally:
            self.sum = held


class Pooled(NamedTuple):
    """A normalised batch, and the statistics of the whole: mean, biased variance, elements per channel (float64)."""

    output: Tensor
    mean: Tensor
    variance: Tensor
    elements: Tensor


class Poolable(nn.Module):
    """The base of layers that normalise batches; `pool` is there while several workers train them together."""

    pool: Pool | None = None


def normalizes_batches(module: nn.Module) -> bool:
    """Whether what is made of a row depends on the other rows of the batch, through batch normalisation."""
    return any(isinstance(each, Poolable | _BatchNorm) for each in module.modules())


@contextlib.contextmanager
def pooled(module: nn.Module, sum_over_workers: Callable[[Tensor], Tensor]) -> Iterator[Pool | None]:
    """Inside, every batch normalisation in `module`, torch's own too, is over the batches of all workers.

    Yields the pool that they share; None if there are none.
    """
    layers = [each for each in module.modules() if isinstance(each, Poolable | _BatchNorm)]
    if not layers:
        yield None
        return
    pool = Pool(sum_over_workers)
    for each in layers:
        if isinstance(each, Poolable):
            each.pool = pool
        else:
            each.forward = _pooled_forward(each, pool)  # type: ignore[method-assign, assignment]
    try:
        yield pool
    finally:
        for each in layers:
            if isinstance(each, Poolable):
                each.pool = None
            else:
                del each.forward


def pooled_norm(y: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float, pool: Pool) -> Pooled:
    """`y`, `(B, C, ...)`, by the statistics that each channel has over all workers."""
    return Pooled(*_PooledNorm.apply(y, weight, bias, epsilon, pool))  # type: ignore[no-untyped-call]


def pooled_sum(value: Tensor, pool: Pool) -> Tensor:
    """`value` summed over all workers; gradients come back to each of them."""
    total: Tensor = _PooledSum.apply(value, pool)  # type: ignore[no-untyped-call]
    return total


class _PooledNorm(torch.autograd.Function):
    """torch's kernels for given statistics, and two sums over workers: of statistics, and of their gradients."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor | None, bias: Tensor | None, epsilon: float, pool: Pool
    ) -> tuple[Tensor, ...]:
        own = y.new_tensor(0 if pool.empty else y.numel() // y.shape[1], dtype=torch.float64)
        mean, variance = (each.double() for each in torch.batch_norm_update_stats(y, None, None, 0.0))
        # Sums of squares lose digits that float64 has to spare.
        sums = torch.cat((own.view(1), mean * own, (variance + mean.square()) * own))
        if pool.empty:  # what stands in may be anything, and nothing times NaN is NaN
            sums.zero_()
        sums = pool.sum(sums)
        count, (first, second) = sums[0].clamp(min=1), sums[1:].view(2, -1)
        mean = first / count
        variance = (second / count - mean.square()).clamp_(min=0)
        kept = torch.float32 if weight is None else weight.dtype
        kept = y.dtype if kept == torch.float32 and y.dtype == torch.float64 else kept
        mean, variance = mean.to(kept), variance.to(kept)
        output = F.batch_norm(y, mean, variance, weight, bias, eps=epsilon)
        ctx.save_for_backward(y, weight, mean, variance, count)
        ctx.epsilon, ctx.pool, ctx.empty = epsilon, pool, pool.empty
        ctx.mark_non_differentiable(mean, variance, count)
        return output, mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        y, weight, mean, variance, count = ctx.saved_tensors
        inverse = (variance + ctx.epsilon).rsqrt()
        # As if the statistics were constants; what comes through them is subtracted below.
        found, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, y, weight, mean, variance, mean, inverse, False, ctx.epsilon, [True, True, True]
        )
        sums = torch.stack((by_bias, by_weight)).double()
        sums = ctx.pool.sum(sums.zero_() if ctx.empty else sums)
        if not ctx.empty:
            mean_gradient, mean_product = (sums / count).to(inverse.dtype)
            scale = inverse if weight is None else inverse * weight
            slope = scale * inverse * mean_product
            shape = (-1, *(1,) * (y.ndim - 2))
            found.addcmul_(y, slope.to(y.dtype).view(shape), value=-1)
            found.sub_((scale * mean_gradient - mean * slope).to(y.dtype).view(shape))
        wanted = ctx.needs_input_grad
        return found, by_weight if wanted[1] else None, by_bias if wanted[2] else None, None, None


class _PooledSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, pool: Pool) -> Tensor:
        ctx.pool, ctx.empty = pool, pool.empty
        return pool.sum(torch.zeros_like(value) if pool.empty else value.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # Of a worker that stands in, too: each holds a part of the loss, and this one's is 0.
        total = ctx.pool.sum(torch.zeros_like(gradient) if ctx.empty else gradient.clone())
        return torch.zeros_like(total) if ctx.empty else total, None


def _pooled_forward(module: _BatchNorm, pool: Pool) -> Callable[[Tensor], Tensor]:
    """torch's batch normalisation with the statistics of all workers; running ones follow as torch's do."""

    def forward(x: Tensor) -> Tensor:
        if not module.training:
            return type(module).forward(module, x)
        found = pooled_norm(x, module.weight, module.bias, module.eps, pool)
        if module.track_running_stats and module.running_mean is not None and module.running_var is not None:
            assert module.num_batches_tracked is not None
            module.num_batches_tracked.add_(1)
            part = module.momentum if module.momentum is not None else 1 / float(module.num_batches_tracked)
            unbiased = found.variance * (found.elements / (found.elements - 1).clamp(min=1)).to(found.variance.dtype)
            with torch.no_grad():
                module.running_mean.lerp_(found.mean.to(module.running_mean.dtype), part)
                module.running_var.lerp_(unbiased.to(module.running_var.dtype), part)
        return found.output

    return forward
