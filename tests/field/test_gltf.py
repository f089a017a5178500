"""GLB and OBJ files in programs of others: Khronos' validator, and three.js in a browser."""

import base64
import contextlib
import io
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from scipy import ndimage
from selenium.webdriver.support.ui import WebDriverWait

from rayboot.data.glb import encode_glb
from rayboot.data.mesh_files import encode_mesh
from rayboot.data.obj_files import encode_face_obj
from rayboot.inference.face_model import load
from rayboot.pipeline.export_meshes import export_on_this_machine
from rayboot.pipeline.export_request import prepare_export
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.render.texturing import color_vertices
from rayboot.render.visibility import compute_visibility
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.model_choice import ModelChoice
from rayboot.serving.reconstruction_request import ReconstructionRequest
from rayboot.serving.serve_config import ServeConfig
from tests.http_thread import serving
from tests.node_packages import node_modules, validate_gltf
from tests.render.solids import SIZE, ellipsoid, smooth_photo


@pytest.fixture(scope="module")
def portrait(synthetic_set: str) -> Path:
    return min(Path(synthetic_set).rglob("*.jpg"))


def require_valid(payload: bytes) -> None:
    report = validate_gltf(payload)
    # Hints and remarks as well: there is nothing that the validator would say.
    assert report["messages"] == []
    assert report["numErrors"] == report["numWarnings"] == report["numInfos"] == 0


def test_the_validator_finds_a_fault() -> None:
    mesh = ellipsoid()
    broken = mesh._replace(faces=mesh.faces.copy())
    broken.faces[0, 0] = len(mesh.vertices)
    report = validate_gltf(encode_glb(broken))
    assert report["numErrors"] >= 1


def test_a_glb_in_python_is_valid(portrait: Path) -> None:
    face = load(BUILTIN_COMPACT).reconstruct(portrait)
    require_valid(face.encode("glb"))
    require_valid(encode_glb(face.mesh._replace(colors=None)))


def test_a_glb_of_reconstruct_is_valid(portrait: Path, tmp_path: Path) -> None:
    export_on_this_machine(prepare_export(BUILTIN_COMPACT, str(portrait), str(tmp_path / "out")))
    (path,) = (tmp_path / "out").glob("*.glb")
    require_valid(path.read_bytes())


def test_a_glb_of_serve_and_of_its_page_is_valid(portrait: Path) -> None:
    choice = ModelChoice(BUILTIN_COMPACT, "faces", "sqlite:///absent.db")
    engine = ReconstructionEngine(ServeConfig(), choice, None)
    photo = portrait.read_bytes()
    try:
        require_valid(engine.reconstruct(ReconstructionRequest(photo)).body)
        # The page saves the mesh that this document contains.
        request = ReconstructionRequest(photo, output="json", mesh="glb")
        (face,) = json.loads(engine.reconstruct(request).body)["faces"]
        require_valid(base64.b64decode(face["glb"]))
    finally:
        engine.close()


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


def served(folder: Path) -> contextlib.AbstractContextManager[str]:
    return serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder))))


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["glb", "obj"])
def test_three_shows_the_colours_of_the_photo(browser: Any, tmp_path: Path, kind: str) -> None:
    (tmp_path / "three").symlink_to(node_modules("three") / "three")
    page = Path(__file__).parent / "three_page.html"
    (tmp_path / "page.html").write_bytes(page.read_bytes())
    photo, mesh = smooth_photo(size=SIZE), ellipsoid()
    files = {"face.glb": encode_mesh(color_vertices(mesh, photo, None, "mirrored"), "glb")}
    files |= encode_face_obj(mesh, photo, None, "face.obj", "pixel")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with served(tmp_path) as address:
        browser.get(f"{address}/page.html?kind={kind}&size={SIZE}")
        WebDriverWait(browser, 60).until(lambda driver: driver.title == "shown")
        encoded = browser.execute_script("return canvas.toDataURL().split(',')[1]")
        browser.get("about:blank")
    image = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
    visible = ndimage.binary_erosion(
        compute_visibility(mesh, SIZE).visible_pixels, np.ones((3, 3)), iterations=2
    )
    difference = np.abs(image.astype(int) - photo)[visible].max(axis=1)
    assert visible.sum() > 1000
    assert np.median(difference) <= 1 and np.quantile(difference, 0.99) <= 3
