"""Description of the machine and the code that are measured."""

import os
import subprocess
from pathlib import Path

import torch

from rayboot.models.precision import resolve_precision

__all__ = ["commit", "describe_machine"]


def commit() -> str:
    """Returns the commit of the checkout that is measured; "" outside of a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def describe_machine() -> dict[str, object]:
    """Returns processor, cores, memory, GPUs and the default precision of networks."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": names[0] if names else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "gpus": gpus,
        "precision": str(resolve_precision(torch.device("cuda" if gpus else "cpu"), "auto")),
    }
