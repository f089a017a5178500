import numpy as np
import pyarrow.parquet as pq
import pytest

from rayboot.data import read_pairs
from rayboot.data.schema import FACE_COLUMNS, PAIRS_SCHEMA, SCHEMA_VERSION
from rayboot.errors import RequestError, UnfinishedDataError
from rayboot.geometry.volume import transform_volume, unpack_occupancy
from tests.data.pair_sets import (
    NUM_FACES,
    SHAPE,
    YAWS,
    depth_of,
    face,
    plain_image,
    solid,
    transform_of,
    write_pairs,
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(
        tmp_path_factory.mktemp("pairs") / "set", list(map(face, range(NUM_FACES))), 3
    )


def yaws_by_face(dataset):
    """The yaws of the views of a data set, by face."""
    yaws = {}
    for row in dataset.take_all():
        yaws.setdefault(row["face_id"], []).append(row["yaw_deg"])
    return {key: sorted(yaws[key]) for key in sorted(yaws)}


@pytest.fixture(scope="module")
def drawn(ray_local, pairs):
    """Two views of each face, by seed 0."""
    return yaws_by_face(read_pairs(pairs, num_views=2, seed=0))


def test_every_view_has_the_packed_occupancy_of_its_source(ray_local, pairs):
    # A number above that of the views reads all of them.
    rows = read_pairs(pairs, num_views=99).take_all()
    assert len(rows) == NUM_FACES * len(YAWS)
    assert len({(row["face_id"], row["yaw_deg"]) for row in rows}) == len(rows)
    for row in rows:
        index, place = int(row["face_id"][7]), YAWS.index(row["yaw_deg"])
        assert (row["image"] == plain_image(10 * index + place)).all()
        assert row["image"].dtype == np.uint8
        assert tuple(row["shape"]) == SHAPE
        assert (unpack_occupancy(row["occupancy"], SHAPE) == solid(index)).all()
        transform = np.reshape(row["transform"], (3, 4))
        assert transform == pytest.approx(transform_of(row["yaw_deg"]), abs=1e-6)
        assert row["pitch_deg"] == 0.0 and not row["is_source"]


def test_transformed_targets_are_in_the_frame_of_the_view(ray_local, pairs, drawn):
    dataset = read_pairs(pairs, 2, "transformed", seed=1, split="train", include_source=True)
    rows = dataset.take_all()
    assert {row["face_id"] for row in rows} == {f"photos/{index}.jpg" for index in (1, 2, 4, 5)}
    assert len(rows) == 4 * (2 + 1)
    for row in rows:
        index = int(row["face_id"][7])
        assert row["occupancy"].shape == SHAPE and row["occupancy"].dtype == bool
        if row["is_source"]:
            assert (row["image"] == plain_image(200 + index)).all()
            assert (row["occupancy"] == solid(index)).all()
            assert row["yaw_deg"] == 0.0
        else:
            stored = np.float32(transform_of(row["yaw_deg"])).astype(np.float64)
            expected = transform_volume(solid(index), stored)
            assert (row["occupancy"] == expected).all()
            assert expected.any()
    # Another seed draws other views.
    pairs_drawn = {(row["face_id"], row["yaw_deg"]) for row in rows if not row["is_source"]}
    assert pairs_drawn - {(key, yaw) for key, yaws in drawn.items() for yaw in yaws}


def test_the_drawn_views_depend_on_seed_and_face_alone(drawn, tmp_path):
    assert len(drawn) == NUM_FACES
    assert {len(yaws) for yaws in drawn.values()} == {2}
    assert all(set(yaws) < set(YAWS) for yaws in drawn.values())
    # The draw differs between faces.
    assert len(set(map(tuple, drawn.values()))) > 1
    # The draw depends neither on order and files, nor on the other faces.
    some = write_pairs(tmp_path / "set", [face(index) for index in (4, 1, 3, 5)], rows_per_file=4)
    again = yaws_by_face(read_pairs(some, num_views=2, seed=0))
    assert again == {key: drawn[key] for key in again} and len(again) == 4


def test_depth_maps_are_read_on_request(pairs):
    rows = read_pairs(pairs, num_views=1, targets="surface_depth").take_all()
    assert len(rows) == NUM_FACES
    for row in rows:
        expected = np.stack(depth_of(int(row["face_id"][7])))
        assert "occupancy" not in row
        assert np.abs(row["surface_depth"] - expected).max() <= 0.5 / 64


def test_an_older_data_set_has_no_depth_maps(tmp_path):
    uri = write_pairs(tmp_path / "set", [face(0)])
    (file,) = (tmp_path / "set/outcome=face").glob("*.parquet")
    pq.write_table(pq.read_table(file).drop(["surface_depth"]), file)
    assert len(read_pairs(uri).take_all()) == len(YAWS)
    with pytest.raises(RequestError, match="schema version 3"):
        read_pairs(uri, targets="surface_depth")


def test_an_unfinished_data_set_is_refused(tmp_path):
    uri = write_pairs(tmp_path / "set", [face(0)])
    (tmp_path / "set" / "manifest.json").unlink()
    with pytest.raises(UnfinishedDataError, match="generate` again"):
        read_pairs(uri)
    with pytest.raises(RequestError, match="no such folder"):
        read_pairs(str(tmp_path / "nothing"))


def test_a_data_set_without_a_face_is_refused(tmp_path):
    with pytest.raises(RequestError, match="every photo was rejected"):
        read_pairs(write_pairs(tmp_path / "set", []))


@pytest.mark.parametrize("num_views", [0, -1])
def test_less_than_one_view_is_refused(pairs, num_views):
    with pytest.raises(RequestError, match="num_views"):
        read_pairs(pairs, num_views=num_views)


def test_the_schema_keeps_its_columns():
    assert SCHEMA_VERSION == 3
    columns = (
        "face_id content_hash group_id source_uri dataset split crop image target_kind target "
        "occupancy surface_depth num_people "
        "shape symmetry_normal gaze up centroid pose_confidence views model_version round_index "
        "config_digest"
    )
    assert set(columns.split()) <= set(FACE_COLUMNS)
    fields = {field.name for field in PAIRS_SCHEMA.field("views").type.value_type}
    assert {"yaw_deg", "pitch_deg", "transform", "view_gaze", "clipped", "image"} <= fields
