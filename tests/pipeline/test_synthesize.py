from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from rayboot.data.ground_truth import read_truth
from rayboot.data.images import decode_photo
from rayboot.data.readers import list_photos
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.surface_depth import unpack_surface_depth
from rayboot.geometry.volume import unpack_occupancy
from rayboot.io.storage import list_files, read_bytes
from rayboot.pipeline.synthesize import synthesize
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.sampling import draw_sample


def test_the_layout_is_that_of_a_real_data_set(synthetic_set: str) -> None:
    photos = list_photos(synthetic_set).to_pylist()
    assert len(photos) == 24
    assert all(photo["landmarks_uri"].endswith(".t7") for photo in photos)
    assert [photo["face_id"] for photo in photos] == read_truth(synthetic_set)[
        "face_id"
    ].to_pylist()


def test_photos_are_bright_and_varied(synthetic_set: str) -> None:
    means = []
    for photo in list_photos(synthetic_set).to_pylist():
        image = decode_photo(read_bytes(photo["source_uri"]))
        assert image.shape == (144, 144, 3)
        assert image.std() > 15
        means.append(image.mean())
    assert np.std(means) > 5


def test_depth_maps_are_those_of_the_volume(synthetic_set: str) -> None:
    for row in read_truth(synthetic_set, ["shape", "occupancy", "surface_depth"]).to_pylist()[:6]:
        shape = tuple(row["shape"])
        volume = unpack_occupancy(row["occupancy"], shape)
        front, back, outline = unpack_surface_depth(row["surface_depth"], shape[2])
        z = ((np.arange(shape[0]) - (shape[0] - 1) / 2) / 2)[:, None, None]
        solid = (z <= front) & (z >= back) & (outline > 0)
        assert (solid & volume).sum() / (solid | volume).sum() > 0.98


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    config = SynthesisConfig(num_identities=3, photos_per_identity=100, seed=0)
    small = config.replace(num_identities=2, photos_per_identity=2)
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert synthesize(small, one, num_workers=1) == synthesize(small, two, num_workers=2) == 4
    for name in list_files(one):
        assert read_bytes(f"{one}/{name}") == read_bytes(f"{two}/{name}"), name


def test_photos_of_an_identity_differ_in_pose() -> None:
    config, model = SynthesisConfig(num_identities=2, photos_per_identity=2), load_head_model()
    first, second = (draw_sample(config, model, 1, photo) for photo in (0, 1))
    other = draw_sample(config, model, 0, 0)
    assert np.array_equal(first.identity, second.identity)
    assert not np.array_equal(first.identity, other.identity)
    assert first.angles_deg != second.angles_deg


def test_seed_zero_differs_from_seed_one() -> None:
    model = load_head_model()
    zero, one = (
        draw_sample(SynthesisConfig(num_identities=1, seed=seed), model, 0, 0) for seed in (0, 1)
    )
    assert not np.array_equal(zero.identity, one.identity)


def test_first_identity_shifts_the_identities() -> None:
    model = load_head_model()
    config = SynthesisConfig(num_identities=4, seed=3)
    shifted = config.replace(first_identity=4)
    assert np.array_equal(
        draw_sample(config.replace(num_identities=8), model, 5, 0).identity,
        draw_sample(shifted, model, 5, 0).identity,
    )


@pytest.mark.parametrize(("kind", "limit"), [("uniform", 25), ("frontal_heavy", 90)])
def test_yaw_distributions(kind: str, limit: float) -> None:
    yaw = {"kind": kind, "max_deg": limit}
    config, model = SynthesisConfig(num_identities=400, yaw=yaw), load_head_model()
    yaws = np.abs([draw_sample(config, model, i, 0).angles_deg[0] for i in range(400)])
    assert yaws.max() <= limit
    if kind == "uniform":
        assert np.mean(yaws) == pytest.approx(limit / 2, rel=0.1)
    else:
        assert (yaws <= 30).mean() == pytest.approx(0.66, abs=0.08)


def test_impossible_values_are_refused() -> None:
    for wrong in (
        {"num_identities": 0},
        {"num_identities": 1, "yaw": {"kind": "steps"}},
        {"num_identities": 1, "yaw": {"kind": "uniform", "max_deg": 120}},
        {"num_identities": 1, "color": "red"},
    ):
        with pytest.raises(ValidationError):
            SynthesisConfig(**wrong)
