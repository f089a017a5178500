from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from rayboot.data.ground_truth import TRUTH_SCHEMA, list_truth_parts, read_truth, write_truth
from rayboot.data.images import decode_photo
from rayboot.data.readers import list_photos
from rayboot.errors import RequestError
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.surface_depth import unpack_surface_depth
from rayboot.geometry.volume import unpack_occupancy
from rayboot.io.storage import list_files, read_bytes
from rayboot.pipeline import render_part
from rayboot.pipeline import synthesize as synthesize_module
from rayboot.pipeline.synthesize import prepare_synthesis, synthesize
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


SMALL = SynthesisConfig(
    num_identities=26, photos_per_identity=2, photo_size=64, crop_size=32, slices=16
)
"""52 photos: a part of 50 and one of 2."""


def contents(uri: str) -> dict[str, bytes]:
    """Files of a data set, without the record of the request."""
    names = [name for name in list_files(uri) if not name.startswith("_run/")]
    return {name: read_bytes(f"{uri}/{name}") for name in names}


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The data set of ``SMALL``, made by one process."""
    uri = str(tmp_path_factory.mktemp("small") / "set")
    assert synthesize(SMALL, uri, num_workers=1) == 52
    return uri


def test_the_number_of_workers_changes_nothing(
    small_set: str, tmp_path: Path, ray_local: Any
) -> None:
    assert synthesize(SMALL, str(tmp_path), num_workers=2) == 52
    expected = contents(small_set)
    assert len(expected) == 2 * 52 + 2 + 1
    assert contents(str(tmp_path)) == expected


class InterruptionError(Exception):
    pass


def test_a_part_that_was_interrupted_is_made_again(
    small_set: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path)

    def interrupt(uri: str, part: int, table: pa.Table) -> None:
        if part == 1:
            raise InterruptionError
        write_truth(uri, part, table)

    with monkeypatch.context() as patch:
        patch.setattr(render_part, "write_truth", interrupt)
        with pytest.raises(InterruptionError):
            synthesize(SMALL, uri, num_workers=1)
    assert list_truth_parts(uri) == [0]
    # Photos of both parts are there, but those of the second have no ground truth yet.
    photos = sorted((tmp_path / "Synthetic-3D").glob("*.jpg"))
    assert len(photos) == 52
    for photo in photos:
        photo.write_bytes(b"")
    synthesize(SMALL, uri, num_workers=1)
    expected = contents(small_set)
    remade = {"Synthetic-3D/000050.jpg", "Synthetic-3D/000051.jpg"}
    for name, content in contents(uri).items():
        is_emptied = name.endswith(".jpg") and name not in remade
        assert content == (b"" if is_emptied else expected[name]), name


def test_a_complete_data_set_is_left_as_it_is(
    small_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesize_module, "RenderPart", None)
    assert synthesize(SMALL, small_set) == synthesize(SMALL, small_set, num_workers=7) == 52


def test_another_config_is_refused(small_set: str) -> None:
    with pytest.raises(RequestError, match="begun with another config_digest"):
        prepare_synthesis(SMALL.replace(seed=1), small_set)


def test_faces_of_an_unknown_config_are_refused(tmp_path: Path) -> None:
    write_truth(str(tmp_path), 0, TRUTH_SCHEMA.empty_table())
    with pytest.raises(RequestError, match=r"no _run/fingerprint\.json"):
        prepare_synthesis(SMALL, str(tmp_path))


def test_a_folder_without_backgrounds_is_refused(tmp_path: Path) -> None:
    config = SMALL.replace(backgrounds=str(tmp_path / "none"))
    with pytest.raises(RequestError, match="folder of photographs"):
        prepare_synthesis(config, str(tmp_path / "set"))


@pytest.mark.parametrize(
    ("num_photos", "num_workers", "num_cores", "expected"),
    [
        (99, None, 2, False),
        (100, None, 2, True),
        (100, None, 1, False),
        (5000, 1, 2, False),
        (2, 2, 2, True),
    ],
)
def test_ray_is_started_where_it_is_worth_its_start(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num_photos: int,
    num_workers: int | None,
    num_cores: int,
    expected: bool,
) -> None:
    made = []
    for name in ("_render_here", "_render_on_ray"):
        monkeypatch.setattr(synthesize_module, name, lambda *_, name=name: made.append(name))
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(num_cores)))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = SynthesisConfig(num_identities=num_photos)
    assert synthesize(config, str(tmp_path), num_workers) == num_photos
    assert made == ["_render_on_ray" if expected else "_render_here"]


def test_a_data_set_in_a_store_is_that_on_a_disk(small_set: str) -> None:
    uri = "memory://synthesize/set"
    synthesize(SMALL, uri, num_workers=1)
    assert contents(uri) == contents(small_set)


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
