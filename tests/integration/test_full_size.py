"""A face at the released network's size, rendered from its ground-truth volume."""

import numpy as np
import pytest
from scipy import ndimage

from rayboot.data.ground_truth import read_truth
from rayboot.data.images import decode_photo
from rayboot.geometry.crop import warp_photo
from rayboot.geometry.volume import coarsen, transform_volume, unpack_occupancy
from rayboot.io.storage import join_uri, read_bytes
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.stages.records import Solid
from rayboot.pipeline.stages.render_views import RenderedFace, render_face_views
from rayboot.pipeline.synthesize import synthesize
from rayboot.render import Renderer
from rayboot.synthesis import SynthesisConfig

pytestmark = pytest.mark.egl

SIZE, SLICES = 192, 200


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RenderedFace]:
    """One face rendered with the coarse and with the full surface grid, by the name of the grid."""
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
    (row,) = read_truth(uri).to_pylist()
    photo = decode_photo(read_bytes(join_uri(uri, row["face_id"])))
    image = warp_photo(photo, np.reshape(row["crop"], (2, 3)), SIZE)
    occupied = unpack_occupancy(row["occupancy"], (SLICES, SIZE, SIZE))
    volume = ndimage.gaussian_filter(occupied.astype(np.float32), 1.5)
    renderer = Renderer(SIZE)
    rendered = {}
    for grid in ("coarse", "full"):
        config = GenerateConfig(render={"surface_grid": grid})
        cell = config.cell_px(SIZE)
        solid = Solid(volume >= config.isovalue, coarsen(volume, cell), cell)
        rendered[grid] = render_face_views(image, solid, None, config, renderer, key="0")
    return rendered


@pytest.mark.parametrize("grid", ["coarse", "full"])
def test_all_views_are_rendered(faces: dict[str, RenderedFace], grid: str) -> None:
    face = faces[grid]
    assert sorted(view.yaw_deg for view in face.views) == [-60, -40, -20, 20, 40, 60]
    assert face.images.shape == (6, SIZE, SIZE, 3)
    assert face.num_views_left_out == 0


def test_the_coarse_grid_gives_nearly_the_same_images(faces: dict[str, RenderedFace]) -> None:
    coarse, full = faces["coarse"], faces["full"]
    # More vertices than the number of rows that OpenCV accepts.
    assert len(full.mesh.vertices) > 40_000
    assert len(coarse.mesh.faces) < 0.2 * len(full.mesh.faces)
    difference = np.abs(coarse.images.astype(int) - full.images).max(axis=-1)
    assert np.median(difference) <= 2
    assert (difference <= 16).mean() > 0.9
    normals = (face.pose.symmetry_normal for face in (coarse, full))
    assert np.degrees(np.arccos(min(1.0, np.dot(*normals)))) < 0.5


def test_transformed_targets_keep_the_volume(faces: dict[str, RenderedFace]) -> None:
    face = faces["coarse"]
    for transform, clipped in zip(face.transforms, face.clipped, strict=True):
        target = transform_volume(face.occupied, transform)
        # Cropping again changes the scale, and the volume by the cube of that change.
        scale = np.linalg.norm(transform[:, 0])
        expected = face.occupied.sum() * scale**3 * (1 - clipped)
        assert target.sum() == pytest.approx(expected, rel=0.02)
