"""The model that MLflow loads for a registered version.

Registration copies this file into the version, together with the package. It imports the rest
of rayboot only when weights are loaded, so that registering needs no network.
"""

from typing import Any

import mlflow.models
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

__all__ = ["ServedReconstructor"]


class _RefusedRequestError(MlflowException):
    """A request that was wrong: HTTP 400 with one sentence.

    MLflow's server prefixes the message of an error with the whole input, pixel by pixel; this
    message stays as it is.
    """

    def __init__(self, sentence: str) -> None:
        self._sentence = sentence
        super().__init__(sentence, error_code=INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """The sentence."""
        return self._sentence

    @message.setter
    def message(self, _text: str) -> None:
        pass


class ServedReconstructor(PythonModel):
    """Photos (B, H, W, 3) uint8 to occupancy (B, D, S, S) float32, or to mesh files."""

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the weights; MLflow calls it once per process."""
        from rayboot.inference.face_reconstructor import FaceReconstructor

        self._reconstructor = FaceReconstructor(context.artifacts["weights"])

    # MLflow infers no schema from an array's type, so the model checks its input itself; without
    # any type MLflow would print a warning wherever the model is loaded.
    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray | list[Any]:
        """Reconstructs photos; ``params["output"]`` chooses occupancy or a kind of mesh file.

        Where some photos show no face, the result is a list, in which each of these is
        ``{"error": sentence}``.
        """
        from rayboot.errors import RaybootError

        output: Any = (params or {}).get("output", "occupancy")
        photos = _to_bytes(np.asarray(model_input))
        try:
            results = self._reconstructor.reconstruct_each(photos, output)
            errors = [result for result in results if isinstance(result, RaybootError)]
            if len(errors) == len(results):
                # Raises the first error, or returns the result of no photos.
                return self._reconstructor.reconstruct(photos, output)
        except RaybootError as error:
            raise _RefusedRequestError(str(error)) from error
        if not errors:
            return np.stack(results) if output == "occupancy" else results
        return [
            {"error": str(result)} if isinstance(result, RaybootError) else result
            for result in results
        ]


def _to_bytes(photos: np.ndarray) -> np.ndarray:
    """Returns the integers of a JSON request as uint8; arrays that are no photos as they are."""
    is_byte_like = photos.dtype.kind in "iu" and photos.size and photos.min() >= 0
    return photos.astype(np.uint8) if is_byte_like and photos.max() <= 255 else photos


mlflow.models.set_model(ServedReconstructor())
