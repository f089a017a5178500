"""A face at the released network's size, from its true volume."""

import numpy as np
import pytest
from scipy import ndimage

from rayboot.data.images import decode_photo
from rayboot.data.storage import join_uri, read_bytes
from rayboot.data.truth import truth_table
from rayboot.geometry.crop import warp_photo
from rayboot.geometry.volume import transform_volume, unpack_occupancy
from rayboot.pipeline.config import GenerateConfig
from rayboot.pipeline.turn import TurnedFace, turn_face
from rayboot.render import Renderer
from rayboot.synthesis import SynthesisConfig, synthesize

pytestmark = pytest.mark.egl

SIZE, SLICES = 192, 200


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> TurnedFace:
    uri = str(tmp_path_factory.mktemp("full"))
    config = SynthesisConfig(
        num_identities=1,
        yaw={"kind": "uniform", "max_deg": 5},
        photo_size=288,
        crop_size=SIZE,
        slices=SLICES,
        seed=3,
    )
    synthesize(config, uri, num_workers=1)
    (row,) = truth_table(uri).to_pylist()
    photo = decode_photo(read_bytes(join_uri(uri, row["face_id"])))
    image = warp_photo(photo, np.reshape(row["crop"], (2, 3)), SIZE)
    occupied = unpack_occupancy(row["occupancy"], (SLICES, SIZE, SIZE))
    volume = ndimage.gaussian_filter(occupied.astype(np.float32), 1.5)
    return turn_face(image, volume, None, GenerateConfig(), Renderer(SIZE))


def test_all_views_are_made(turned: TurnedFace) -> None:
    # More vertices than OpenCV takes rows.
    assert len(turned.mesh.vertices) > 40_000
    assert sorted(view.yaw_deg for view in turned.views) == [-60, -40, -20, 20, 40, 60]
    assert turned.images.shape == (6, SIZE, SIZE, 3)
    assert turned.num_left_out == 0


def test_turned_targets_keep_the_solid(turned: TurnedFace) -> None:
    for transform, clipped in zip(turned.transforms, turned.clipped, strict=True):
        target = transform_volume(turned.occupied, transform)
        # Cropping again changes the scale, and with it the volume by its cube.
        scale = np.linalg.norm(transform[:, 0])
        expected = turned.occupied.sum() * scale**3 * (1 - clipped)
        assert target.sum() == pytest.approx(expected, rel=0.02)
