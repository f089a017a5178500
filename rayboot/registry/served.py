"""What MLflow runs when it serves a VRN: images to occupancy volumes."""

import warnings

import mlflow.models
import numpy as np
from mlflow.pyfunc import PythonModel, PythonModelContext

__all__ = ["ServedVRN"]

# Hints would be taken for a schema, and the model has a signature already.
warnings.filterwarnings("ignore", ".*Add type hints to the `predict` method", UserWarning)


class ServedVRN(PythonModel):
    """Images (B, 3, H, W) float32 in [0, 1] to occupancy (B, D, H, W) float32."""

    def load_context(self, context: PythonModelContext) -> None:
        """Reads the weights; called once a process."""
        from rayboot.models import load_network

        self._network = load_network(context.artifacts["weights"])

    # Unannotated, hence the filter above.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Occupancy for an array or for ``{"images": array}``."""
        import torch

        images = model_input["images"] if isinstance(model_input, dict) else model_input
        with torch.inference_mode():
            return self._network(torch.from_numpy(np.asarray(images, np.float32))).numpy()


mlflow.models.set_model(ServedVRN())
