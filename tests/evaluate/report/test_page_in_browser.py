"""The page of an evaluation in a real browser: it works, logs no errors and makes no requests."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.page_requests import requested_urls

pytestmark = pytest.mark.browser

TIMEOUT_S = 60

# Position of the camera: x right, y away from the viewer, z up.
EYE = """
const {azimuth, elevation, distance} = document.getElementById('plot').viewer.view;
const [a, e] = [azimuth * Math.PI / 180, elevation * Math.PI / 180];
return [distance * Math.cos(e) * Math.sin(a), -distance * Math.cos(e) * Math.cos(a),
        distance * Math.sin(e)];
"""

DRAG = """
const [plot, distance] = arguments;
const box = plot.getBoundingClientRect();
const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
const send = (name, dx, buttons) => {
    const at = {clientX: x + dx, clientY: y, buttons, pointerId: 1, pointerType: 'mouse'};
    plot.dispatchEvent(new PointerEvent(name, {bubbles: true, cancelable: true, ...at}));
};
send('pointerdown', 0, 1);
for (let i = 1; i <= 4; i++) send('pointermove', i * distance / 4, 1);
send('pointerup', distance, 0);
"""


@pytest.fixture(scope="module")
def page(browser: Any, report_outputs: tuple[Path, list[Path]]) -> Any:
    browser.get_log("performance")
    browser.get(report_outputs[0].as_uri())
    is_ready = "return Boolean(document.getElementById('plot').viewer)"
    wait_until(browser, lambda: browser.execute_script(is_ready))
    wait_for_still_view(browser)
    return browser


def wait_until(browser: Any, condition: Callable[[], Any]) -> None:
    WebDriverWait(browser, TIMEOUT_S).until(lambda _: condition())


def wait_for_still_view(browser: Any) -> np.ndarray:
    """Returns the view (H, W, 3) when it no longer changes."""
    before = take_screenshot(browser)
    for _ in range(40):
        time.sleep(0.25)
        current = take_screenshot(browser)
        if np.array_equal(before, current):
            return current
        before = current
    raise AssertionError("the view does not stop changing")


def take_screenshot(browser: Any) -> np.ndarray:
    payload = browser.find_element(By.ID, "plot").screenshot_as_png
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    # Without the focus outline.
    return image[8:-8, 8:-8]


def test_a_shape_is_drawn(page: Any) -> None:
    view = wait_for_still_view(page)
    background = view[5, 5].astype(int)
    differs = (np.abs(view.astype(int) - background) > 20).any(axis=-1)
    assert 0.03 < differs.mean() < 0.9
    # The shape is in the centre, and not cut off at the sides.
    assert differs[view.shape[0] // 2, view.shape[1] // 2]
    assert not differs[:, :4].any() and not differs[:, -4:].any()


def test_dragging_rotates_the_view_and_arrow_keys_continue_from_there(page: Any) -> None:
    plot = page.find_element(By.ID, "plot")
    before, start = wait_for_still_view(page), np.array(page.execute_script(EYE))
    page.execute_script(DRAG, plot, 40)
    wait_until(page, lambda: not np.allclose(page.execute_script(EYE), start, atol=0.05))
    dragged, eye = wait_for_still_view(page), np.array(page.execute_script(EYE))
    assert not np.array_equal(before, dragged)
    plot.send_keys(Keys.ARROW_RIGHT)
    rotated = wait_for_still_view(page)
    assert not np.array_equal(dragged, rotated)
    after = np.array(page.execute_script(EYE))
    # The same direction as dragging to the right: the camera moves to the left.
    angles = np.degrees([np.arctan2(y, x) for x, y, _ in (start, eye, after)])
    assert (angles[2] - angles[1]) % 360 == pytest.approx(350, abs=0.5)
    height = page.execute_script("return document.getElementById('plot').clientHeight")
    assert (angles[0] - angles[1]) % 360 == pytest.approx(180 * 40 / height, rel=0.1)
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(eye), rel=0.02)
    plot.send_keys(Keys.ARROW_DOWN)
    assert page.execute_script(EYE)[2] > after[2] + 0.1
    plot.send_keys("-")
    assert np.linalg.norm(page.execute_script(EYE)) > 1.1 * np.linalg.norm(after)
    plot.send_keys("0")
    assert np.abs(wait_for_still_view(page).astype(int) - before).mean() < 1


def test_the_choice_of_shape_and_face_changes_the_view(page: Any) -> None:
    scale = page.find_element(By.ID, "scale")
    shape, face = (Select(page.find_element(By.ID, name)) for name in ("shape", "face"))
    assert len(face.options) == 3 and len(shape.options) == 4
    views = [wait_for_still_view(page)]
    assert not scale.is_displayed()
    shape.select_by_index(2)
    views.append(wait_for_still_view(page))
    assert scale.is_displayed()
    face.select_by_index(2)
    # The kind of shape stays selected when the face changes.
    assert shape.first_selected_option.text.startswith("truth, coloured by the error of first")
    views.append(wait_for_still_view(page))
    shape.select_by_index(0)
    views.append(wait_for_still_view(page))
    page.find_element(By.ID, "plain").click()
    views.append(wait_for_still_view(page))
    page.find_element(By.ID, "plain").click()
    assert np.array_equal(wait_for_still_view(page), views[3])
    face.select_by_index(0)
    assert np.array_equal(wait_for_still_view(page), views[0])
    assert len({view.tobytes() for view in views}) == len(views)


def test_headers_sort_the_worst_faces(page: Any) -> None:
    table = page.find_element(By.CSS_SELECTOR, "table.sortable")
    headers = table.find_elements(By.CSS_SELECTOR, "th")

    def column(number: int) -> list[float]:
        cells = table.find_elements(By.CSS_SELECTOR, f"td:nth-child({number + 1})")
        return [float(cell.get_attribute("data-number")) for cell in cells]

    assert headers[4].get_attribute("aria-sort") == "descending"
    assert np.isnan(column(4)[0]) and column(4)[1:] == sorted(column(4)[1:], reverse=True)
    headers[2].find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert headers[2].get_attribute("aria-sort") == "ascending"
    assert headers[4].get_attribute("aria-sort") is None
    assert column(2) == sorted(column(2))
    headers[2].find_element(By.TAG_NAME, "button").click()
    assert headers[2].get_attribute("aria-sort") == "descending"
    assert column(2) == sorted(column(2), reverse=True)
    # Faces without an error stay last in either direction.
    for _ in range(2):
        headers[4].find_element(By.TAG_NAME, "button").click()
        assert np.isnan(column(4)[-1]) and np.isfinite(column(4)[:-1]).all()


def test_tab_reaches_every_control(page: Any) -> None:
    selector = "a[href], button, select, input, summary, #plot"
    controls = page.find_elements(By.CSS_SELECTOR, selector)
    page.execute_script("arguments[0].focus()", controls[0])
    reached: list[Any] = []
    for _ in range(3 * len(controls)):
        focus = page.switch_to.active_element
        if focus.tag_name == "body" or focus in reached[:1]:
            break
        reached.append(focus)
        ActionChains(page).send_keys(Keys.TAB).perform()
        width = page.execute_script("return getComputedStyle(document.activeElement).outlineWidth")
        assert width != "0px"
    missing = [element for element in controls if element not in reached]
    assert not missing, [element.get_attribute("outerHTML")[:80] for element in missing]


@pytest.mark.parametrize("width", [380, 1100])
def test_the_page_is_no_wider_than_the_screen(page: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    wait_until(page, lambda: page.execute_script("return innerWidth") == width)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# Runs after all others, and checks the logs of what they did.
def test_names_run_no_script_and_the_page_logs_and_requests_nothing(page: Any) -> None:
    assert page.execute_script("return window.hacked") is None
    errors = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert not errors
    urls = requested_urls(page)
    # Chromium's own first tab uses chrome://.
    schemes = {url.split(":")[0] for url in urls}
    assert schemes <= {"file", "data", "blob", "chrome", "chrome-untrusted"}, urls
    assert sum(url.startswith("file:") for url in urls) == 1
