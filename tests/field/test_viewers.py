"""What a viewer of 3D files shows of an exported mesh."""

import numpy as np
import pytest
from scipy import ndimage

from rayboot.data.mesh_files import encode_mesh
from rayboot.geometry.mesh import Mesh
from rayboot.render import Renderer, Scene
from rayboot.render.texturing import color_vertices
from rayboot.render.visibility import compute_visibility
from tests.data.test_glb import parse
from tests.render.solids import SIZE, ellipsoid, smooth_photo

COMPONENTS = {5123: "<u2", 5125: "<u4", 5126: "<f4"}


def read_as_a_viewer(payload: bytes) -> Mesh:
    """The mesh with the colours that a viewer without lights shows, by the specification of glTF.

    The base colour is the linear vertex colour; the screen gets it encoded as sRGB.
    """
    document, buffer = parse(payload)
    (primitive,) = document["meshes"][0]["primitives"]
    assert "KHR_materials_unlit" in document["materials"][primitive["material"]]["extensions"]

    def values(index: int) -> np.ndarray:
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        array = np.frombuffer(
            buffer,
            COMPONENTS[accessor["componentType"]],
            width * accessor["count"],
            view["byteOffset"],
        ).reshape(-1, width)
        return array / 65535 if accessor.get("normalized") else array

    linear = values(primitive["attributes"]["COLOR_0"])[:, :3]
    screen = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    faces = values(primitive["indices"]).reshape(-1, 3).astype(np.int32)
    colors = np.rint(255 * screen).astype(np.uint8)
    return Mesh(values(primitive["attributes"]["POSITION"]), faces, colors)


@pytest.mark.egl
def test_a_screenshot_of_a_glb_has_the_colours_of_the_photo() -> None:
    photo = smooth_photo(size=SIZE)
    mesh = ellipsoid()
    payload = encode_mesh(color_vertices(mesh, photo, None, "mirrored"), "glb")
    shown = read_as_a_viewer(payload)
    (image,) = Renderer(SIZE).render(Scene(shown), [np.eye(3, 4)])
    visible = ndimage.binary_erosion(
        compute_visibility(mesh, SIZE).visible_pixels, np.ones((3, 3)), iterations=2
    )
    difference = np.abs(image.astype(int) - photo)[visible].max(axis=1)
    assert visible.sum() > 1000
    assert np.median(difference) <= 1 and (difference <= 3).mean() > 0.99
