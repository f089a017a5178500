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
    """The process's number of threads, which is restored afterwards."""
    count = torch.get_num_threads()
    yield count
    torch.set_num_threads(count)


def test_a_photos_result_is_independent_of_other_photos(
    predictor: Predictor, images: np.ndarray
) -> None:
    batch = predictor.predict(images)
    assert batch.shape == (7, 12, 32, 32)
    for number in range(7):
        single = predictor.predict(images[number : number + 1])
        assert single.tobytes() == batch[number].tobytes()
    assert predictor.predict(images[::-1])[::-1].tobytes() == batch.tobytes()
    assert predictor.predict(images[2:5]).tobytes() == batch[2:5].tobytes()


def test_volumes_equal_the_networks_output(tiny: VRN, images: np.ndarray) -> None:
    config = InferenceConfig(precision="float32", channels_last=False)
    volumes = Predictor(tiny, config, batch_size=3).predict(images)
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        np.testing.assert_allclose(volumes, tiny(tensor), atol=1e-5)


def test_prediction_does_not_change_a_network_in_training_mode(
    tiny: VRN, images: np.ndarray
) -> None:
    before = {key: value.clone() for key, value in tiny.state_dict().items()}
    Predictor(tiny.train(), InferenceConfig(), batch_size=4).predict(images)
    assert all(torch.equal(value, before[key]) for key, value in tiny.state_dict().items())


def test_an_empty_batch_gives_no_volumes(predictor: Predictor, images: np.ndarray) -> None:
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
def test_images_of_wrong_shape_or_dtype_are_refused(
    predictor: Predictor, wrong: np.ndarray
) -> None:
    with pytest.raises(ShapeError, match=r"uint8 \(N, 32, 32, 3\)"):
        predictor.predict(wrong)


def test_the_configured_number_of_threads_is_set(tiny: VRN, threads: int) -> None:
    Predictor(tiny, InferenceConfig(num_threads=1), batch_size=1)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("device", "num_batches"), [("cpu", 0), pytest.param("cuda", 1, marks=pytest.mark.gpu)]
)
def test_the_network_is_warmed_up_on_a_gpu_only(tiny: VRN, device: str, num_batches: int) -> None:
    predictor = Predictor(tiny.to(device), InferenceConfig(), batch_size=4)
    sizes: list[int] = []
    tiny.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    predictor.warm_up(0.5, 2)
    assert sizes == [4] * num_batches


def test_averaged_predictions_of_mirrored_images_are_mirrored(
    tiny: VRN, images: np.ndarray
) -> None:
    config = InferenceConfig(precision="float32", average_mirrored=True)
    predictor = Predictor(tiny, config, batch_size=4)
    volumes, mirrored = (predictor.predict(batch) for batch in (images, images[:, :, ::-1].copy()))
    np.testing.assert_allclose(mirrored, volumes[..., ::-1], atol=1e-5)
    once = Predictor(tiny, InferenceConfig(precision="float32"), batch_size=4).predict(images)
    assert np.abs(once - volumes).max() > 1e-4
