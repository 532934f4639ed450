"""What processes wait for."""

from datetime import timedelta

import torch
import torch.distributed as dist

from sgt.training.distributed import DistributedContext


def test_processes_wait_for_hours_while_one_screens_the_data():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        group = DistributedContext(size=2).for_thread().control_group
        assert group is not None
        assert group._get_backend(torch.device("cpu")).options._timeout >= timedelta(hours=12)
    finally:
        dist.destroy_process_group()
