from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rayboot.errors import ShapeError
from rayboot.models import VRN
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (7, 32, 32, 3), np.uint8)


@pytest.fixture(params=["float32", "bfloat16"])
def predictor(tiny: VRN, request: pytest.FixtureRequest) -> Predictor:
    return Predictor(tiny, InferenceConfig(precision=request.param), batch_size=4)


@pytest.fixture
def threads() -> Iterator[int]:
    """What the process has, put back afterwards."""
    count = torch.get_num_threads()
    yield count
    torch.set_num_threads(count)


def test_a_photo_does_not_depend_on_its_companions(
    predictor: Predictor, images: np.ndarray
) -> None:
    together = predictor.predict(images)
    assert together.shape == (7, 12, 32, 32)
    for number in range(7):
        alone = predictor.predict(images[number : number + 1])
        assert alone.tobytes() == together[number].tobytes()
    assert predictor.predict(images[::-1])[::-1].tobytes() == together.tobytes()
    assert predictor.predict(images[2:5]).tobytes() == together[2:5].tobytes()


def test_volumes_are_the_networks(tiny: VRN, images: np.ndarray) -> None:
    config = InferenceConfig(precision="float32", channels_last=False)
    volumes = Predictor(tiny, config, batch_size=3).predict(images)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        np.testing.assert_allclose(volumes, tiny(tensor), atol=1e-5)


def test_a_network_in_training_is_not_trained(tiny: VRN, images: np.ndarray) -> None:
    before = {key: value.clone() for key, value in tiny.state_dict().items()}
    Predictor(tiny.train(), InferenceConfig(), batch_size=4).predict(images)
    assert all(torch.equal(value, before[key]) for key, value in tiny.state_dict().items())


def test_no_photos_give_no_volumes(predictor: Predictor, images: np.ndarray) -> None:
    volumes = predictor.predict(images[:0])
    assert (volumes.shape, volumes.dtype) == ((0, 12, 32, 32), np.float32)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 32, 32, 3), np.float32),
        np.zeros((2, 3, 32, 32), np.uint8),
        np.zeros((2, 40, 40, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
    ],
)
def test_other_images_are_refused(predictor: Predictor, wrong: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"uint8 \(N, 32, 32, 3\)"):
        predictor.predict(wrong)


def test_the_number_of_threads_is_set(tiny: VRN, threads: int) -> None:
    Predictor(tiny, InferenceConfig(num_threads=1), batch_size=1)
    assert torch.get_num_threads() == 1
