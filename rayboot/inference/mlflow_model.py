"""The model that MLflow loads for a registered version.

Registration copies this file into the version, together with the package. It imports the rest
of rayboot only when weights are loaded, so that registering needs no network.
"""

from typing import Any

import mlflow.models
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext

__all__ = ["ServedReconstructor"]


class ServedReconstructor(PythonModel):
    """Photos (B, H, W, 3) uint8 to occupancy (B, D, S, S) float32, or to mesh files."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the weights; MLflow calls it once per process."""
        from rayboot.inference.face_reconstructor import FaceReconstructor

        self._reconstructor = FaceReconstructor(context.artifacts["weights"])

    # MLflow infers no schema from an array's type, so the version's signature stays in force;
    # without any type it would print a warning wherever the model is loaded.
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray | list[bytes]:
        """Reconstructs photos; ``params["output"]`` chooses occupancy or a kind of mesh file."""
        from rayboot.errors import RaybootError

        output: Any = (params or {}).get("output", "occupancy")
        try:
            return self._reconstructor.reconstruct(np.asarray(model_input), output)
        except RaybootError as error:
            # The request was wrong: HTTP 400 with one sentence instead of a traceback.
            raise MlflowException.invalid_parameter_value(str(error)) from error


mlflow.models.set_model(ServedReconstructor())
