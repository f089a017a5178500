"""The page of one mesh, in a browser."""

import base64
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rayboot.render.texturing import color_vertices
from rayboot.render.viewer import make_viewer_page, pack_mesh
from tests.render.solids import SIZE, ellipsoid

RED = np.full((SIZE, SIZE, 3), (200, 40, 30), np.uint8)


def test_a_packed_mesh_keeps_its_shape_and_colours() -> None:
    mesh = color_vertices(ellipsoid(), RED, None, "mirrored")
    packed = pack_mesh(mesh, SIZE)
    positions = np.frombuffer(base64.b64decode(packed["positions"]), "<i2").reshape(-1, 3)
    centre = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
    restored = positions / 32_000 * packed["extent"] * SIZE + centre
    assert np.abs(restored - mesh.vertices).max() < 0.001
    indices = np.frombuffer(base64.b64decode(packed["indices"]), "<u4")
    assert np.array_equal(indices, mesh.faces.ravel())
    assert base64.b64decode(packed["colors"]) == mesh.colors.tobytes()  # type: ignore[union-attr]
    assert pack_mesh(ellipsoid(), SIZE)["colors"] is None


def test_a_page_is_small_and_asks_for_nothing() -> None:
    page = make_viewer_page(ellipsoid(), SIZE, "a face")
    assert len(page) < 2**20
    assert "http" not in page.replace("http-equiv", "")
    assert "{{" not in page
    named = make_viewer_page(ellipsoid(), SIZE, "{{script}}")
    assert named.count("<script>") == page.count("<script>")


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page of a red ellipsoid, wider than deep, with a title that is no markup."""
    mesh = color_vertices(ellipsoid((24.0, 30.0, 12.0)), RED, None, "mirrored")
    path = tmp_path_factory.mktemp("viewer") / "face.html"
    path.write_text(make_viewer_page(mesh, SIZE, '<script>alert("a")</script>"'), "utf-8")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())
    return browser


def look(browser: Any) -> np.ndarray:
    """Returns where (H, W, 3) the mesh is drawn, in RGB; zero where it is not."""
    time.sleep(0.5)
    payload = browser.find_element(By.TAG_NAME, "canvas").screenshot_as_png
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    image = image[6:-6, 6:-6, ::-1].astype(int)  # without the outline of the focus
    drawn = (np.abs(image - image[0, 0]) > 12).any(axis=2)
    return np.where(drawn[..., None], image, 0)


def extent(view: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(view.any(axis=2))
    return int(np.ptp(columns)), int(np.ptp(rows))


def press(browser: Any, *keys: str) -> None:
    canvas = browser.find_element(By.TAG_NAME, "canvas")
    for key in keys:
        canvas.send_keys(key)


@pytest.mark.browser
def test_every_control_works(page: Any) -> None:
    front = look(page)
    width, height = extent(front)
    assert width / height == pytest.approx(24 / 30, abs=0.02)
    red, green, blue = front[front.shape[0] // 2, front.shape[1] // 2]
    assert red > 2 * green > 0 and red > 2 * blue > 0

    left, straight, right = page.find_elements(By.CSS_SELECTOR, "button[data-azimuth]")
    right.click()
    side_width, side_height = extent(look(page))
    assert side_width / side_height == pytest.approx(12 / 30, abs=0.02)
    straight.click()
    assert np.array_equal(look(page), front)

    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    canvas = page.find_element(By.TAG_NAME, "canvas")
    assert canvas.get_attribute("data-azimuth") == "20"
    assert extent(look(page))[0] < width
    press(page, "0", "-", "-", "-")
    assert extent(look(page))[1] == pytest.approx(height / 1.15**3, rel=0.02)
    press(page, "+", "+", "+")
    assert extent(look(page))[1] == pytest.approx(height, abs=2)

    press(page, "0")
    ActionChains(page).drag_and_drop_by_offset(canvas, canvas.size["height"] // 4, 0).perform()
    # A quarter of the height is an eighth of a turn, in the direction of the hand.
    assert float(canvas.get_attribute("data-azimuth")) == pytest.approx(45, abs=2)

    left.click()
    page.find_element(By.TAG_NAME, "input").click()
    grey = look(page)
    drawn = grey[grey.any(axis=2)]
    assert np.ptp(drawn, axis=1).max() < 30  # no red is left


@pytest.mark.browser
def test_the_nose_turns_to_the_side_of_the_button(page: Any, tmp_path: Path) -> None:
    mesh = ellipsoid((20.0, 24.0, 12.0))
    nose = ellipsoid((3.0, 3.0, 3.0))
    faces = np.concatenate([mesh.faces, nose.faces + len(mesh.vertices)])
    vertices = np.concatenate([mesh.vertices, nose.vertices + np.float32([0, 0, 14])])
    path = tmp_path / "nose.html"
    path.write_text(
        make_viewer_page(mesh._replace(vertices=vertices, faces=faces), SIZE, "nose"), "utf-8"
    )
    page.get(path.as_uri())
    assert not page.find_element(By.TAG_NAME, "label").is_displayed()  # there are no colours
    left, _, right = page.find_elements(By.CSS_SELECTOR, "button[data-azimuth]")
    for button, side in ((left, 0), (right, -1)):
        button.click()
        view = look(page)
        columns = np.flatnonzero(view.any(axis=(0, 2)))
        tip = view[:, columns[side]].any(axis=1)
        assert tip.sum() < 20  # the tip of the nose, not the back of the head


@pytest.mark.browser
def test_the_page_logs_no_error_and_requests_nothing(page: Any) -> None:
    errors = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
    requested = [
        entry["message"]
        for entry in page.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
        # Chromium's own first page loads its parts.
        and '"documentURL":"file://' in entry["message"]
        and '"url":"file://' not in entry["message"]
    ]
    assert requested == []
