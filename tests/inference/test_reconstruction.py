import base64
import html
import io
import json
import pickle
import re
import sys
import time
import types
import webbrowser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from selenium.webdriver.common.by import By

from rayboot.data.images import decode_photo
from rayboot.data.mesh_files import decode_mesh
from rayboot.errors import RequestError, ShapeError
from rayboot.geometry.crop import apply_affine
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.physical_size import metres_per_pixel
from rayboot.geometry.pose import estimate_pose
from rayboot.inference.reconstruction import Reconstruction
from tests.render.solids import smooth_photo

CROP_FROM_PHOTO = np.array([[0.5, 0.0, -10.0], [0.0, 0.5, -20.0]])


def head_volume() -> np.ndarray:
    """Returns the mean head's face in a crop of 96 px, as networks predict faces."""
    from rayboot.geometry.face_solid import build_face_solid, fill_soft_volume

    model = load_head_model()
    head = model.vertices(np.zeros(len(model.identity)), np.zeros(len(model.expression)))
    solid = build_face_solid(head, model.faces, head[model.landmarks[:17]], 84 / 192 * 96 / 28)
    affine = np.hstack([28 * np.eye(3), [[0.0], [0.0], [-8.0]]])
    return fill_soft_volume(solid, affine, (112, 96, 96))


def read_page(page: str) -> list[dict[str, Any]]:
    """Returns the faces that a page contains."""
    (data,) = re.findall(r'id="faces">(.*?)</script>', page)
    faces: list[dict[str, Any]] = json.loads(data)
    return faces


@pytest.fixture(scope="module")
def face() -> Reconstruction:
    return Reconstruction("a.jpg", "builtin:base", smooth_photo(), CROP_FROM_PHOTO, head_volume())


def test_the_mesh_is_closed_and_coloured(face: Reconstruction) -> None:
    mesh = face.mesh
    assert mesh.vertices.dtype == np.float32 and mesh.colors is not None
    assert mesh.colors.shape == mesh.vertices.shape and mesh.colors.std() > 10
    shape = mesh.to_trimesh()
    assert isinstance(shape, trimesh.Trimesh)
    assert shape.is_watertight and shape.volume > 0
    assert np.array_equal(shape.vertices, mesh.vertices)
    assert np.array_equal(shape.visual.vertex_colors[:, :3], mesh.colors)
    assert face.mesh is mesh


def test_the_pose_of_a_frontal_head_is_straight(face: Reconstruction) -> None:
    assert abs(face.pose.yaw_deg) < 2 and abs(face.pose.pitch_deg) < 6
    assert face.pose.confidence > 0.4
    assert face.pose.gaze == pytest.approx(estimate_pose(face.mesh.vertices).gaze)


def test_landmarks_are_where_the_head_has_them(face: Reconstruction) -> None:
    landmarks = face.landmarks
    assert landmarks is not None and landmarks.dtype == np.float32
    model = load_head_model()
    expected = 28 * model.mean[model.landmarks] + (0, 0, -8)
    error = np.linalg.norm(landmarks - expected, axis=1)[17:]
    assert np.median(error) < 2.5  # px; the outer eye distance is 28 px
    # In the photo, which is twice as large as the crop, y grows downward.
    in_photo = face.to_photo(landmarks)
    back = apply_affine(CROP_FROM_PHOTO, in_photo)
    assert back == pytest.approx(landmarks[:, :2] * (1, -1) + 47.5, abs=1e-3)
    assert in_photo[8, 1] > in_photo[27, 1]  # the chin is below the nose


def test_a_shape_that_is_no_face_has_no_landmarks() -> None:
    volume = np.zeros((112, 96, 96), np.float32)
    volume[40:70, 20:76, 40:56] = 1
    face = Reconstruction("a.jpg", "builtin:base", smooth_photo(), CROP_FROM_PHOTO, volume)
    assert face.pose.confidence < 0.4
    assert face.landmarks is None


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj", ".OBJ"])
def test_saved_files_hold_the_mesh(face: Reconstruction, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"face{suffix}"
    face.save(path)
    decoded = decode_mesh(path.read_bytes(), suffix)
    metres = metres_per_pixel(96) * face.mesh.vertices
    assert decoded.vertices == pytest.approx(metres, abs=1e-6)
    assert np.array_equal(decoded.faces, face.mesh.faces)
    # The face of a person, and not of a giant.
    assert 0.15 < np.ptp(decoded.vertices[:, 1]) < 0.3
    face.save(path, unit="pixel")
    decoded = decode_mesh(path.read_bytes(), suffix)
    assert decoded.vertices == pytest.approx(face.mesh.vertices, abs=1e-4)


def test_an_obj_has_the_photo_as_texture(face: Reconstruction, tmp_path: Path) -> None:
    photo = tmp_path / "face.png"
    photo.write_bytes(b"the user's photo")
    face.save(tmp_path / "face.obj")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["face-texture.png", "face.mtl", "face.obj", "face.png"]
    assert photo.read_bytes() == b"the user's photo"
    shape: Any = trimesh.load_mesh(tmp_path / "face.obj", process=False)
    assert face.mesh.colors is not None
    # trimesh repeats vertices where the texture has a seam.
    _, nearest = cKDTree(shape.vertices).query(metres_per_pixel(96) * face.mesh.vertices)
    colors = np.asarray(shape.visual.to_color().vertex_colors)[nearest, :3].astype(int)
    difference = np.abs(colors - face.mesh.colors).max(axis=1)
    assert np.median(difference) <= 2 and np.quantile(difference, 0.9) <= 12


def test_an_obj_of_one_file_has_colours_at_its_vertices(face: Reconstruction) -> None:
    shape: Any = trimesh.load_mesh(
        io.BytesIO(face.encode("obj")), file_type="obj", process=False, maintain_order=True
    )
    assert face.mesh.colors is not None
    difference = shape.visual.vertex_colors[:, :3].astype(int) - face.mesh.colors
    assert np.abs(difference).max() <= 1


def test_a_file_of_another_kind_is_refused(face: Reconstruction, tmp_path: Path) -> None:
    for name in ("face.stl", "face"):
        with pytest.raises(RequestError, match=r"must end in \.obj, \.ply, \.glb"):
            face.save(tmp_path / name)
    with pytest.raises(RequestError, match="unit must be one of metre, pixel, got 'mm'"):
        face.save(tmp_path / "face.glb", unit="mm")  # type: ignore[arg-type]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match="cannot be written"):
        face.save(tmp_path / "file" / "face.glb")
    with pytest.raises(ShapeError, match=r"points \(N, 3\)"):
        face.to_photo(np.zeros((4, 2)))


def test_a_notebook_shows_the_mesh_in_a_frame(face: Reconstruction) -> None:
    markup = face._repr_html_()
    assert len(markup) < 2 * 2**20
    (page,) = re.findall(r'<iframe srcdoc="([^"]*)" sandbox="allow-scripts"', markup)
    assert html.unescape(page) == face.to_html()
    (shown,) = read_page(face.to_html())
    assert len(base64.b64decode(shown["colors"]["bytes"])) == 3 * len(face.mesh.vertices)
    assert shown["photo"] is None and shown["label"] == "1: a.jpg"


def test_a_page_shows_several_faces_with_their_photos(face: Reconstruction) -> None:
    closeup = smooth_photo(1, 200)
    other = Reconstruction(
        "b.jpg", "builtin:base", face.crop, CROP_FROM_PHOTO, face.volume, None, closeup
    )
    _, shown = read_page(face.to_html(other))
    assert shown["label"] == "2: b.jpg" and shown["cropSize"] == 96
    image = decode_photo(base64.b64decode(shown["photo"].partition(",")[2])).astype(int)
    assert np.abs(image - closeup).mean() < 3


@pytest.mark.browser
def test_the_frame_of_a_notebook_shows_the_face(
    face: Reconstruction, browser: Any, tmp_path: Path
) -> None:
    photo = np.full((256, 256, 3), (200, 40, 30), np.uint8)
    red = Reconstruction("a", "m", face.crop, CROP_FROM_PHOTO, face.volume, None, photo)
    (tmp_path / "notebook.html").write_text(red._repr_html_(), "utf-8")
    browser.get((tmp_path / "notebook.html").as_uri())
    frame = browser.find_element(By.TAG_NAME, "iframe")
    for _ in range(50):
        time.sleep(0.2)
        payload = frame.screenshot_as_png
        image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        blue, green, center = image[image.shape[0] // 3, image.shape[1] // 2].astype(int)
        if center > 2 * green and center > 2 * blue:
            return
    raise AssertionError("the frame shows no face in the colour of its photo")


def test_show_opens_the_browser_or_the_cell(
    face: Reconstruction, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)))
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    face.show()
    (url,) = opened
    page = Path(url.removeprefix("file://"))
    assert page.read_text("utf-8") == face.to_html()
    assert str(page) in capsys.readouterr().out  # there was no browser
    page.unlink()
    # What IPython has in a notebook.
    shown: list[object] = []
    modules: Any = {name: types.ModuleType(name) for name in ("IPython", "IPython.display")}
    modules["IPython"].get_ipython = lambda: types.SimpleNamespace(kernel=object())
    modules["IPython.display"].display = lambda content, raw: shown.append((content, raw))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    face.show()
    face.show(face)
    frames = [face._frame(), face._frame(face)]
    assert shown == [({"text/html": text, "text/plain": repr(face)}, True) for text in frames]
    assert len(opened) == 1


def test_a_face_travels_between_processes(face: Reconstruction) -> None:
    copy = pickle.loads(pickle.dumps(face))
    assert np.array_equal(copy.volume, face.volume)
    assert np.array_equal(copy.mesh.vertices, face.mesh.vertices)
    assert repr(copy) == "<face of a.jpg by builtin:base, volume (112, 96, 96)>"
