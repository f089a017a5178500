"""Process of one part: ``python -m rayboot.diagnostics.gpu.child PART INPUTS``.

It ends with one JSON object on the last line of its output.
"""

import importlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rayboot.diagnostics.gpu.part import PartSkippedError, Workload

__all__ = ["PARTS", "run_part"]

PARTS: Mapping[str, str] = {
    "machine": "machine.describe_gpu_machine",
    "tests": "marked_tests.run_marked_tests",
    "prediction": "prediction.measure_prediction",
    "training": "training.measure_training",
    "rendering": "rendering.measure_rendering",
    "generation": "generation.measure_generation",
    "evaluation": "evaluation.measure_evaluation",
    "compiled-prediction": "prediction.measure_compiled_prediction",
    "compiled-training": "training.measure_compiled_training",
}
"""Function of each part within this package, in the order of the parts; it is imported only in
the part's own process, so that what one part lacks does not end another."""


def run_part(name: str, workload: Workload) -> dict[str, Any]:
    """Runs a part in this process.

    Returns:
        ``status``, ``reason`` and ``values`` of the part's record.
    """
    module, function = PARTS[name].split(".")
    try:
        run: Callable[[Workload], dict[str, Any]] = getattr(
            importlib.import_module(f"rayboot.diagnostics.gpu.{module}"), function
        )
        return {"status": "ok", "reason": "", "values": run(workload)}
    except PartSkippedError as error:
        return {"status": "skipped", "reason": str(error), "values": {}}
    except Exception as error:  # a part may fail in any way, and the others still run
        traceback.print_exc()
        return {"status": "FAILED", "reason": f"{type(error).__name__}: {error}", "values": {}}


def main() -> None:
    """Prints the outcome of the part that the arguments name."""
    import torch

    name, inputs = sys.argv[1:]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(json.dumps(run_part(name, Workload.for_device(device, Path(inputs)))), flush=True)


if __name__ == "__main__":
    main()
