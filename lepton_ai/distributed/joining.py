"""The world that another program made before ours ran: torchrun, `lepton launch`, a Ray job."""

import datetime

import torch
import torch.distributed as dist

from lepton_ai.distributed.world import World


def joined(timeout: float = 300.0) -> World:
    """This process as a worker of the world that it was started in; one worker alone if there is none.

    `timeout`: seconds to wait for the others in one exchange, if this is the first call.
    """
    if not dist.is_available():
        return World()
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched():
            return World()
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout))
    return present()


def present() -> World:
    """The world that this process has joined by now; one worker alone if none."""
    if not dist.is_available() or not dist.is_initialized():
        return World()
    return World(dist.get_rank(), dist.get_world_size())
