"""The processes that train together: one, or those that `torchrun` started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed

from nst.machine import calibration, prepare, processors


@dataclass(frozen=True)
class Fleet:
    """The processes that train together: one, or those that `torchrun` started."""

    rank: int
    count: int
    device: torch.device
    precision: str

    def any(self, here: bool) -> bool:
        """Whether it is so in any of the processes, which all must ask."""
        if self.count == 1:
            return here
        answer = torch.tensor(int(here), device=self.device)
        distributed.all_reduce(answer, distributed.ReduceOp.MAX)
        return bool(answer)

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0


@contextmanager
def joined(device: torch.device) -> Iterator[Fleet]:
    """Joins the processes of `torchrun`, if it started this one."""
    prepare()
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield Fleet(0, 1, device, calibration().precision)
        return
    torch.set_num_threads(max(1, processors() // int(os.environ["LOCAL_WORLD_SIZE"])))
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        rank = distributed.get_rank()
        chosen = [calibration().precision if rank == 0 else ""]  # the same for all
        distributed.broadcast_object_list(chosen)
        yield Fleet(rank, count, device, chosen[0])
        distributed.barrier()  # one that leaves early can bring down another that is still leaving
    finally:
        distributed.destroy_process_group()
