"""Compilation of a network for a GPU, where the machine can compile.

``torch.compile`` writes kernels that are built when a network runs first: Triton needs a C
compiler and Python's header files at run time, which a plain machine or image may lack.
"""

import logging
import os
import shutil
import sysconfig
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

__all__ = ["compile_on_gpu", "explain_no_compiler"]

_LOG = logging.getLogger(__name__)


def compile_on_gpu(
    network: Callable[..., torch.Tensor], device: torch.device
) -> Callable[..., torch.Tensor]:
    """Returns the compiled network, or the network itself where it cannot be compiled.

    Args:
        network: network, or its wrapper of several workers, on ``device``.
        device: device of the network. On a CPU nothing is compiled.
    """
    if device.type != "cuda":
        return network
    if missing := explain_no_compiler():
        _LOG.warning(
            "compile is true, but %s; the network runs without compilation, with the same "
            "results and more slowly", missing,
        )  # fmt: skip
        return network
    compiled: Any = torch.compile(network)
    return compiled  # type: ignore[no-any-return]


def explain_no_compiler() -> str:
    """Returns what compilation lacks on this machine, and the remedy; empty if nothing."""
    if find_spec("triton") is None:
        return "Triton is not installed: install rayboot with the extra `gpu`"
    # The order in which Triton itself looks for one.
    configured = os.environ.get("CC")
    names = [configured] if configured else ["gcc", "clang"]
    if not any(shutil.which(name) for name in names):
        return f"there is no C compiler ({' or '.join(names)}) on PATH: apt-get install gcc"
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        return f"{headers / 'Python.h'} is missing: apt-get install python3-dev"
    return ""
