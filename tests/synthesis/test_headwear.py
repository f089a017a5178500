from typing import get_args

import numpy as np
import pytest

from rayboot.synthesis.accessories import Headwear, HeadwearKind
from rayboot.synthesis.hair import grow_strands, thicken_scalp
from rayboot.synthesis.headwear import build_headwear, hide_hair
from tests.synthesis.heads import HEADS, MODEL, draw, rng

KINDS = get_args(HeadwearKind)


def headwear(kind: HeadwearKind) -> Headwear:
    cloth = np.full(3, 0.4)
    return Headwear(kind, cloth, cloth, 0.3, crown=0.1, brim=0.5, turn=0.0, pattern=0.1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", HEADS[:2])
def test_headwear_covers_the_head_and_leaves_the_face_free(
    kind: HeadwearKind, head: np.ndarray
) -> None:
    surface = build_headwear(head, headwear(kind), MODEL, rng())
    x, y, z = surface.vertices.T
    assert y.max() > head[:, 1].max()
    assert z.min() < head[:, 2].min() + 0.2
    assert not ((np.abs(x) < 0.45) & (y < 0.15) & (y > -0.9) & (z > -0.2)).any()
    assert surface.colors.min() >= 0 and surface.colors.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_hair_is_on_top_of_headwear(kind: HeadwearKind) -> None:
    look = draw().appearance._replace(baldness=0.0, hair_length=0.4, hair_volume=0.2, fringe=True)
    sample, head, upright = draw(appearance=look), HEADS[0], np.eye(3, 4)
    scalp = thicken_scalp(head, sample, MODEL)
    strands = grow_strands(scalp, sample, MODEL, upright)
    assert strands is not None
    kept, flat = hide_hair(strands, scalp, head, headwear(kind), MODEL, upright)
    top = head[:, 1].max() - 0.2
    assert (strands.vertices[strands.faces][..., 1] > top).any()
    assert not (kept.vertices[kept.faces][..., 1] > top).any()
    on_forehead = kept.vertices[kept.faces][:, 0]
    assert not ((on_forehead[:, 2] > -0.4) & (on_forehead[:, 1] > 0.2)).any()
    thickness = np.linalg.norm(flat - head, axis=1)
    assert thickness[head[:, 1] > top].max() < 0.031
    assert (thickness <= np.linalg.norm(scalp - head, axis=1) + 1e-5).all()
