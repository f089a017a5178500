"""Reconstruction of posted photos with the models of a replica, in three steps.

Finding faces and encoding meshes run in any thread; the network runs in one, for a batch of faces
that may belong to several requests.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rayboot.errors import RequestError
from rayboot.serving.face_finder import FaceFinder, FoundFaces
from rayboot.serving.model_choice import ModelChoice
from rayboot.serving.model_follower import LoadedModel, ModelFollower
from rayboot.serving.outputs import make_reply
from rayboot.serving.reconstruction_request import ReconstructionRequest, Reply, Which
from rayboot.serving.serve_config import ServeConfig

__all__ = ["PreparedRequest", "ReconstructionEngine"]


class PreparedRequest(NamedTuple):
    """A request whose faces are found.

    Attributes:
        request: the request.
        model: the model that it began with.
        found: the faces of its photo.
    """

    request: ReconstructionRequest
    model: LoadedModel
    found: FoundFaces


class ReconstructionEngine:
    """The models of a replica and all steps from a photo to a reply.

    Args:
        config: models' settings and limits.
        served: the model to serve.
        comparison: the model to compare with, if there is one.

    Raises:
        RequestError: a model does not exist, or the package of the face detector is missing.
    """

    def __init__(
        self, config: ServeConfig, served: ModelChoice, comparison: ModelChoice | None
    ) -> None:
        self._finder = FaceFinder(config.max_megapixels, config.max_faces)
        self._followers: dict[Which, ModelFollower] = {"served": ModelFollower(served, config)}
        if comparison is not None:
            self._followers["comparison"] = ModelFollower(comparison, config)

    def models(self) -> dict[Which, str]:
        """Returns the names of the models with their versions."""
        return {which: follower.current.uri for which, follower in self._followers.items()}

    def prepare(self, request: ReconstructionRequest) -> PreparedRequest:
        """Finds the faces of a photo.

        Raises:
            FaceRejectedError: see :meth:`FaceFinder.find`.
            RequestError: there is no model to compare with.
        """
        follower = self._followers.get(request.which)
        if follower is None:
            raise RequestError("this service has no second model to compare with")
        model = follower.current
        found = self._finder.find(
            request.photo, request.faces, model.size, with_closeups=request.output == "obj"
        )
        return PreparedRequest(request, model, found)

    def predict(self, crops: Sequence[tuple[LoadedModel, np.ndarray]]) -> list[np.ndarray]:
        """Returns the occupancy (D, S, S) of each crop (S, S, 3), each by its own model."""
        results: list[np.ndarray | None] = [None] * len(crops)
        for model in {id(model): model for model, _ in crops}.values():
            indices = [index for index, (other, _) in enumerate(crops) if other is model]
            volumes = model.predictor.predict(np.stack([crops[index][1] for index in indices]))
            for index, volume in zip(indices, volumes, strict=True):
                results[index] = volume
        return [volume for volume in results if volume is not None]

    def finish(self, prepared: PreparedRequest, volumes: list[np.ndarray]) -> Reply:
        """Encodes the shapes.

        Raises:
            DegenerateInputError: the network predicts no shape for a face.
        """
        return make_reply(prepared.request, prepared.found, volumes, prepared.model.uri)

    def reconstruct(self, request: ReconstructionRequest) -> Reply:
        """Does all three steps in this thread; errors as those of the steps."""
        prepared = self.prepare(request)
        crops = [(prepared.model, face.crop) for face in prepared.found.chosen]
        return self.finish(prepared, self.predict(crops))

    def close(self) -> None:
        """Stops following the models."""
        for follower in self._followers.values():
            follower.close()
