"""A copy of a network's weights beside the output of a run.

The actors of a run are on machines that do not have the driver's files, and a resumed run must
use the weights that the first one used.
"""

from pathlib import Path

from rayboot.io.storage import join_uri, write_bytes

__all__ = ["copy_weights", "weights_uri"]


def weights_uri(weights: Path, output: str) -> str:
    """URI of the copy below ``output``."""
    return join_uri(output, f"_run/weights{weights.suffix}")


def copy_weights(weights: Path, output: str) -> None:
    """Writes the copy."""
    write_bytes(weights_uri(weights, output), weights.read_bytes())
