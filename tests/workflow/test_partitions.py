"""Which of the partitions of the SLURM profile the executor plugin chooses; on a real SLURM, test_slurm.py."""

import logging
from types import SimpleNamespace

import pytest
import yaml
from snakemake_executor_plugin_slurm.partitions import get_best_partition, read_partition_file

from tests.workflow.conftest import ROOT

PROFILE = ROOT / "workflow/profiles/slurm/config.yaml"


@pytest.mark.parametrize(
    ("resources", "partition"),
    [
        ({"mem_mb": 8000, "runtime": 1440}, "cpu"),
        ({"gpu": 0, "mem_mb": 400_000, "runtime": 1440}, "cpu"),
        ({"gpu": 1, "mem_mb": 16_000, "runtime": 120}, "gpu"),
        ({"gpu": 8, "mem_mb": 400_000, "runtime": 1440}, "gpu"),
        ({"gres": "gpu:8", "nodes": 2, "mpi": "srun", "tasks_per_node": 8}, "gpu"),
    ],
)
def test_a_job_with_a_gpu_goes_to_the_partition_of_gpus_and_any_other_to_that_of_cpus(resources, partition):
    profile = yaml.safe_load(PROFILE.read_text())
    assert "slurm_partition" not in profile["default-resources"], "it would be taken for every job"
    partitions = read_partition_file(ROOT / profile["slurm-partition-config"])
    job = SimpleNamespace(name="job", threads=8, resources=resources)
    assert get_best_partition(partitions, job, logging.getLogger()) == partition
