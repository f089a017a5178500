"""Errors of the shipped networks on synthetic faces, as stated in their model cards."""

import numpy as np
import pytest

from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.measure_faces import measure_face
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.registry.model_names import BUILTIN
from rayboot.registry.resolve import resolve_model

FRONT_DEG, PROFILE_DEG = 12.0, 60.0


@pytest.mark.egl
@pytest.mark.parametrize("model", BUILTIN)
def test_errors_are_small_at_the_front_and_larger_at_profiles(
    model: str, synthetic_set: str
) -> None:
    network = load_network(resolve_model(model).path)
    dataset = SyntheticDataset(data=synthetic_set)
    rows = dataset.list_faces().rows.to_pylist()
    faces = [dataset.read(row, network.config.resolution) for row in rows]
    volumes = Predictor(network, InferenceConfig(), 8).predict(np.stack([f.image for f in faces]))
    errors = [measure_face(face, volume) for face, volume in zip(faces, volumes, strict=True)]
    front = [error.nme_icp for error in errors if abs(error.yaw_deg) < FRONT_DEG]
    profile = [error.nme_icp for error in errors if abs(error.yaw_deg) > PROFILE_DEG]
    assert np.mean(front) < 0.035
    # On these faces the error of the VRN doubles, that of the head network grows by half.
    assert np.mean(profile) > 1.3 * np.mean(front)
