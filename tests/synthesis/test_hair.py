import numpy as np
import pytest

from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.isosurface import vertex_normals
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.hair import grow_strands, thicken_scalp
from rayboot.synthesis.sampling import FaceSample, draw_sample

UPRIGHT = np.eye(3, 4)


def sample(**look: object) -> FaceSample:
    drawn = draw_sample(SynthesisConfig(num_identities=1), load_head_model(), 0, 0)
    plain = {"baldness": 0.0, "fringe": False, "curl": 0.0, "hair_lift": 0.3, "hair_length": 0.3}
    return drawn._replace(appearance=drawn.appearance._replace(**{**plain, **look}))


def strands(**look: object) -> np.ndarray:
    """Returns the vertices of the strands of the mean head, in its frame."""
    model, drawn = load_head_model(), sample(**look)
    mesh = grow_strands(thicken_scalp(model.mean, drawn, model), drawn, model, UPRIGHT)
    assert mesh is not None
    assert mesh.colors is not None and mesh.colors.shape == mesh.vertices.shape
    return mesh.vertices


def before_the_face(vertices: np.ndarray) -> np.ndarray:
    """Returns vertices in front of eyes, nose and mouth."""
    x, y, z = vertices.T
    return vertices[(np.abs(x) < 0.65) & (y < 0.2) & (y > -1.2) & (z > -0.4)]


@pytest.mark.parametrize("look", [{}, {"hair_length": 2.2}, {"fringe": True, "hair_length": 0.8}])
def test_hair_leaves_the_face_free(look: dict[str, object]) -> None:
    assert len(before_the_face(strands(**look))) == 0


def test_long_hair_reaches_below_the_chin_and_short_hair_does_not() -> None:
    chin = load_head_model().mean[load_head_model().landmarks[8], 1]
    assert strands(hair_length=2.2)[:, 1].min() < chin
    assert strands(hair_length=0.1)[:, 1].min() > chin


def test_a_fringe_covers_the_forehead() -> None:
    def on_forehead(vertices: np.ndarray) -> int:
        x, y, z = vertices.T
        return int(((np.abs(x) < 0.4) & (y > 0.3) & (y < 0.6) & (z > -0.3)).sum())

    assert on_forehead(strands(fringe=True, hair_length=0.7)) > 20
    assert on_forehead(strands(hair_length=0.7)) == 0


def test_a_bald_head_has_no_hair() -> None:
    model, drawn = load_head_model(), sample(baldness=1.0)
    assert np.array_equal(thicken_scalp(model.mean, drawn, model), model.mean)
    assert grow_strands(model.mean, drawn, model, UPRIGHT) is None


def test_only_the_scalp_is_thickened() -> None:
    model, drawn = load_head_model(), sample()
    moved = thicken_scalp(model.mean, drawn, model) - model.mean
    outward = np.einsum("ij,ij->i", moved, vertex_normals(model.mean, model.faces))
    assert outward.max() > 0.01 and outward.min() >= 0
    assert not moved[model.landmarks[17:]].any()
