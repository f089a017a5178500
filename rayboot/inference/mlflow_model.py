"""What MLflow runs when it serves a registered version."""

import warnings
from typing import Any

import mlflow.models
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

__all__ = ["ServedReconstructor"]

# Hints would be taken for a schema, and the model has a signature already.
warnings.filterwarnings("ignore", ".*Add type hints to the `predict` method", UserWarning)


class ServedReconstructor(PythonModel):
    """Photos (B, H, W, 3) uint8 to occupancy (B, D, S, S) float32, or to mesh files."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the weights; called once a process."""
        from rayboot.inference.face_reconstructor import FaceReconstructor

        self._faces = FaceReconstructor(context.artifacts["weights"])

    # Unannotated, hence the filter above.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Shapes of photos; ``params["output"]`` chooses their form."""
        from rayboot.errors import RaybootError

        output: Any = (params or {}).get("output", "occupancy")
        try:
            return self._faces.reconstruct(np.asarray(model_input), output)
        except RaybootError as error:
            # A caller's mistake: HTTP 400 with the sentence, no traceback.
            raise MlflowException.invalid_parameter_value(str(error)) from error


mlflow.models.set_model(ServedReconstructor())
