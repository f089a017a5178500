"""The stages in sequence, without a cluster."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from rayboot.data.ground_truth import read_truth
from rayboot.data.images import decode_photo
from rayboot.data.schema import PAIRS_SCHEMA
from rayboot.geometry.surface_depth import unpack_surface_depth
from rayboot.geometry.volume import coarsen, transform_volume, unpack_occupancy
from rayboot.models import load_network, save_network
from rayboot.models.predictor import Predictor
from rayboot.pipeline.generate_config import GenerateConfig, SelectionConfig
from rayboot.pipeline.listing import list_inputs, mark_duplicates
from rayboot.pipeline.stages.crop_faces import CropFaces, reject_crop
from rayboot.pipeline.stages.predict_volume import PredictVolume
from rayboot.pipeline.stages.records import STAGE_SCHEMA, Solid, decode_solid
from rayboot.pipeline.stages.render_views import RenderViews, reject_render
from rayboot.pipeline.stages.write_meshes import ROW_SCHEMA, WriteMeshes
from rayboot.registry.resolve import resolve_model
from tests.pipeline.photos import BAD, mixed_folder

pytestmark = pytest.mark.egl

CONFIG = GenerateConfig(selection=SelectionConfig(detect_faces=False))
SHAPE = (112, 96, 96)


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory, synthetic_set: str) -> pa.Table:
    folder = mixed_folder(tmp_path_factory.mktemp("stages") / "photos", synthetic_set)
    return mark_duplicates(list_inputs(str(folder)))


@pytest.fixture(scope="module")
def cropped(listing: pa.Table) -> pa.Table:
    return CropFaces(96, CONFIG.selection, detect_faces=False)(listing)


@pytest.fixture(scope="module")
def reconstructed(cropped: pa.Table) -> pa.Table:
    weights = str(resolve_model("builtin:compact").path)
    reconstruct = PredictVolume(
        weights, CONFIG.inference, batch_size=8, use_gpu=False, cell=CONFIG.cell_px(96)
    )
    return reconstruct(cropped)


@pytest.fixture(scope="module")
def finished(reconstructed: pa.Table) -> pa.Table:
    return RenderViews(CONFIG, SHAPE, "model", "config")(reconstructed)


@pytest.mark.gpu
def test_shapes_of_a_gpu_are_those_of_the_processor(
    cropped: pa.Table, reconstructed: pa.Table
) -> None:
    weights = str(resolve_model("builtin:compact").path)
    predict = PredictVolume(
        weights, CONFIG.inference, batch_size=8, use_gpu=True, cell=CONFIG.cell_px(96)
    )
    rows = zip(predict(cropped).to_pylist(), reconstructed.to_pylist(), strict=True)
    for on_gpu, on_cpu in rows:
        assert on_gpu["reason"] == on_cpu["reason"]
        if on_gpu["reason"] is None:
            bits = [np.frombuffer(row["occupancy"], np.uint8) for row in (on_gpu, on_cpu)]
            assert np.unpackbits(bits[0] ^ bits[1]).mean() < 2e-3


def test_every_photo_stays_in_one_row(listing: pa.Table, finished: pa.Table) -> None:
    assert finished.schema.equals(PAIRS_SCHEMA)
    assert finished["face_id"].to_pylist() == listing["face_id"].to_pylist()
    assert set(finished["outcome"].to_pylist()) == {"face", "reject"}


def test_bad_photos_have_stage_and_reason(finished: pa.Table) -> None:
    rows = {row["face_id"]: row for row in finished.to_pylist()}
    for name, (stage, reason) in BAD.items():
        assert rows[name]["outcome"] == "reject", name
        assert rows[name]["stage"] == stage, name
        assert rows[name]["message"], name
        if reason is not None:
            assert rows[name]["reason"] == reason
    assert "000000" in rows["again.jpg"]["message"]


def test_profiles_are_rejected_and_frontal_faces_kept(
    finished: pa.Table, synthetic_set: str
) -> None:
    yaws = {
        row["face_id"].split("/")[-1]: row["yaw_deg"]
        for row in read_truth(synthetic_set).to_pylist()
    }
    kept = 0
    for row in finished.to_pylist():
        if row["face_id"] not in yaws:
            continue
        yaw = abs(yaws[row["face_id"]])
        if yaw > 40:
            assert (row["outcome"], row["reason"]) == ("reject", "not-frontal"), row["face_id"]
        elif yaw < 5:
            kept += row["outcome"] == "face"
    assert kept >= 2


def test_a_face_row_is_complete(finished: pa.Table) -> None:
    for row in finished.to_pylist():
        if row["outcome"] != "face":
            continue
        assert tuple(row["shape"]) == SHAPE
        assert decode_photo(row["image"]).shape == (96, 96, 3)
        axes = np.array([row["symmetry_normal"], row["up"], row["gaze"]])
        assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-5)
        assert row["split"] in ("train", "val")
        assert row["views"]
        for view in row["views"]:
            assert abs(view["yaw_deg"]) in (20, 40, 60)
            assert 0 <= view["clipped"] <= CONFIG.max_clipped
            assert decode_photo(view["image"]).shape == (96, 96, 3)
            transform = np.reshape(view["transform"], (3, 4))
            scale = np.linalg.det(transform[:, :3]) ** (1 / 3)
            assert 0.7 < scale < 1.3
            view_gaze = transform[:, :3] / scale @ row["gaze"]
            assert np.allclose(view_gaze, view["view_gaze"], atol=1e-4)
            # Views turn away from the camera, never towards it.
            assert view_gaze[2] < row["gaze"][2] + 1e-6


def test_depth_maps_are_those_of_the_bits(finished: pa.Table) -> None:
    faces = [row for row in finished.to_pylist() if row["outcome"] == "face"]
    assert faces
    z = ((np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2) / 2)[:, None, None]
    for row in faces:
        occupied = unpack_occupancy(row["occupancy"], SHAPE)
        # The network's columns are two pixels wide.
        maps = unpack_surface_depth(row["surface_depth"], SHAPE[2])
        front, back, outline = maps.repeat(2, axis=1).repeat(2, axis=2)
        solid = (z <= front) & (z >= back) & (outline > 0)
        # Columns with a gap, as beside a nostril, are filled in the depth maps.
        overlap = (solid & occupied).sum() / (solid | occupied).sum()
        assert overlap > 0.95, row["face_id"]


def test_shapes_that_lose_small_components_keep_maps_of_the_others_size(
    reconstructed: pa.Table, finished: pa.Table
) -> None:
    face = next(row for row in finished.to_pylist() if row["outcome"] == "face")
    (row,) = (r for r in reconstructed.to_pylist() if r["face_id"] == face["face_id"])
    occupied = np.unpackbits(np.frombuffer(row["occupancy"], np.uint8)).reshape(SHAPE)
    occupied[2:6, 2:6, 2:6] = 1
    row["occupancy"] = np.packbits(occupied).tobytes()
    render = RenderViews(CONFIG, SHAPE, "model", "config")
    (again,) = render(pa.Table.from_pylist([row], schema=STAGE_SCHEMA)).to_pylist()
    assert again["occupancy"] == face["occupancy"]
    before, after = (unpack_surface_depth(r["surface_depth"], SHAPE[2]) for r in (face, again))
    assert before.shape == after.shape
    inside = (before[2] > 1) & (after[2] > 1)
    assert np.abs(before - after)[:2, inside].mean() < 0.3


def test_the_target_covers_what_the_view_shows(finished: pa.Table) -> None:
    """The projection of the rotated volume is in the middle of the render."""
    row = next(r for r in finished.to_pylist() if r["outcome"] == "face")
    volume = unpack_occupancy(row["occupancy"], SHAPE)
    for view in row["views"]:
        target = transform_volume(volume, np.reshape(view["transform"], (3, 4)))
        rows, columns = np.nonzero(target.any(axis=0))
        # Views are cropped again, so a rotated face is centred as that of any photo.
        assert abs(rows.mean() - 47.5) < 12
        assert abs(columns.mean() - 47.5) < 14
        depth = np.flatnonzero(target.any(axis=(1, 2)))
        assert depth[-1] < SHAPE[0] - 1, "the face itself is cut off"


def test_solids_are_decoded_as_predicted(cropped: pa.Table, reconstructed: pa.Table) -> None:
    row = next(r for r in reconstructed.to_pylist() if not r["reason"])
    solid = decode_solid(row, SHAPE, CONFIG.cell_px(96))
    network = load_network(resolve_model("builtin:compact").path)
    predictor = Predictor(network, CONFIG.inference, batch_size=8)
    (photo,) = [r["image"] for r in cropped.to_pylist() if r["face_id"] == row["face_id"]]
    (volume,) = predictor.predict(np.frombuffer(photo, np.uint8).reshape(1, 96, 96, 3))
    assert (solid.occupied != (volume >= 0.5)).mean() < 1e-4
    assert np.abs(solid.cells - coarsen(volume, 1)).max() < 0.03
    soft = (solid.cells > 0.05) & (solid.cells < 0.95)
    assert soft.sum() > 500


def test_small_components_are_removed_from_bits_and_cells() -> None:
    occupied, cells = np.zeros((16, 12, 12), bool), np.zeros((8, 12, 12), np.float32)
    for part in (slice(2, 8), slice(10, 11)):
        occupied[2:8, part, part] = True
        cells[1:4, part, part] = 1.0
    cleaned = Solid(occupied, cells, 1).without_small_components()
    assert cleaned.occupied.sum() == 6**3
    assert cleaned.cells.sum() == 3 * 6**2
    assert cleaned.without_small_components() is cleaned


def test_photos_without_landmarks_are_rejected(tmp_path: Path, synthetic_set: str) -> None:
    folder = mixed_folder(tmp_path / "photos", synthetic_set, num_good=1)
    (folder / "000000.t7").unlink()
    table = CropFaces(96, CONFIG.selection, detect_faces=False)(
        mark_duplicates(list_inputs(str(folder)))
    )
    row = next(r for r in table.to_pylist() if r["face_id"] == "000000.jpg")
    assert (row["stage"], row["reason"]) == ("landmarks", "no-landmarks")


def test_an_empty_volume_is_a_reject(tmp_path: Path, cropped: pa.Table) -> None:
    network = load_network(resolve_model("builtin:compact").path)
    last = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    torch.nn.init.constant_(last.bias, -100.0)
    weights = tmp_path / "empty.safetensors"
    save_network(network, weights)
    table = PredictVolume(str(weights), CONFIG.inference, 4, use_gpu=False)(cropped)
    reasons = {row["reason"] for row in table.to_pylist() if row["image"] is not None}
    assert reasons == {"empty-volume"}


def test_photos_that_crash_a_process_become_rejects(listing: pa.Table, cropped: pa.Table) -> None:
    read = reject_crop(listing.slice(0, 1), "crashed", "the process ended with -11")
    assert read.schema == STAGE_SCHEMA
    rendered = reject_render(cropped.slice(0, 1), "timed-out", "no response")
    assert rendered.schema == PAIRS_SCHEMA
    for table, stage, reason in ((read, "read", "crashed"), (rendered, "render", "timed-out")):
        (row,) = table.to_pylist()
        assert (row["stage"], row["reason"]) == (stage, reason)
        assert row["face_id"] == listing["face_id"][0].as_py()
    assert rendered["outcome"].to_pylist() == ["reject"]
    assert rendered["thumbnail"][0].is_valid


def test_meshes_are_written_below_the_output(tmp_path: Path, cropped: pa.Table) -> None:
    weights = str(resolve_model("builtin:compact").path)
    face = cropped.filter(pc.is_null(cropped["reason"])).slice(0, 1)
    (row,) = PredictVolume(weights, CONFIG.inference, 1, use_gpu=False)(face).to_pylist()
    rows = [{**row, "face_id": f"{name}.jpg", "mesh_name": name} for name in ("a/b", "../b")]
    write = WriteMeshes(SHAPE, str(tmp_path), ("ply", "glb"))
    index = write(pa.Table.from_pylist(rows, schema=STAGE_SCHEMA))
    assert index.schema == ROW_SCHEMA
    written, rejected = index.to_pylist()
    assert (written["ply"], written["glb"]) == ("a/b.ply", "a/b.glb")
    assert all((tmp_path / written[kind]).stat().st_size > 1000 for kind in ("ply", "glb"))
    assert (rejected["reason"], rejected["ply"]) == ("unsafe-name", None)
    # A file of another program has the name of the mesh's folder.
    (tmp_path / "taken").write_bytes(b"")
    taken = {**row, "face_id": "taken/b.jpg", "mesh_name": "taken/b"}
    (rejected,) = write(pa.Table.from_pylist([taken], schema=STAGE_SCHEMA)).to_pylist()
    assert (rejected["stage"], rejected["reason"]) == ("reconstruct", "name-taken")


def test_each_view_has_its_own_light_with_relighting(
    reconstructed: pa.Table, finished: pa.Table
) -> None:
    render = RenderViews(
        CONFIG.replace(render=CONFIG.render.replace(relighting=0.6)), SHAPE, "model", "config"
    )
    lit = render(reconstructed).to_pylist()
    # The lights do not depend on the batch of a photo.
    assert render(reconstructed.slice(3)).to_pylist() == lit[3:]
    lights = [view["light"] for row in lit for view in row["views"] or ()]
    assert len({tuple(light) for light in lights}) == len(lights) > 20
    assert np.allclose(np.linalg.norm(lights, axis=1), 0.6, atol=1e-6)
    for row, before in zip(lit, finished.to_pylist(), strict=True):
        assert row["occupancy"] == before["occupancy"]
        for view, plain in zip(row["views"] or (), before["views"] or (), strict=True):
            assert (plain["light"], view["transform"]) == (None, plain["transform"])
            unlit = decode_photo(plain["image"]).astype(int)
            changed = np.abs(decode_photo(view["image"]) - unlit)
            # In proportion to the colours, which are dark in some photos.
            assert np.quantile(changed.max(axis=2), 0.95) > 0.1 * unlit.mean()
