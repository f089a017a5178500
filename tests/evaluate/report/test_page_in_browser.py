"""The page of an evaluation in a real browser: it works, stays silent and asks for nothing."""

import json
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

pytestmark = pytest.mark.browser

PATIENCE_S = 60

EYE = "const c = document.getElementById('plot').layout.scene.camera.eye; return [c.x, c.y, c.z]"


@pytest.fixture(scope="module")
def page(browser: Any, odd_outputs: tuple[Path, list[Path]]) -> Any:
    browser.get_log("performance")
    browser.get(odd_outputs[0].as_uri())
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#plot canvas"))
    settle(browser)
    return browser


def until(browser: Any, there: Callable[[], Any]) -> None:
    WebDriverWait(browser, PATIENCE_S).until(lambda _: there())


def settle(browser: Any) -> np.ndarray:
    """The view when it no longer changes: (H, W, 3)."""
    before = picture(browser)
    for _ in range(40):
        time.sleep(0.25)
        now = picture(browser)
        if np.array_equal(before, now):
            return now
        before = now
    raise AssertionError("the view does not come to rest")


def picture(browser: Any) -> np.ndarray:
    payload = browser.find_element(By.ID, "plot").screenshot_as_png
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    # Without the ring of the focus.
    return image[8:-8, 8:-8]


def test_a_shape_is_drawn(page: Any) -> None:
    view = settle(page)
    paper = view[5, 5].astype(int)
    differs = (np.abs(view.astype(int) - paper) > 20).any(axis=-1)
    assert 0.03 < differs.mean() < 0.9
    # In its middle, and not cut off at its sides.
    assert differs[view.shape[0] // 2, view.shape[1] // 2]
    assert not differs[:, :4].any() and not differs[:, -4:].any()


def test_dragging_turns_the_view_and_arrow_keys_go_on_from_there(page: Any) -> None:
    plot = page.find_element(By.ID, "plot")
    before, start = settle(page), np.array(page.execute_script(EYE))
    # In steps with rests: a slow machine sees the mouse jump, and turns by as much.
    for step in ("move_to_element", "click_and_hold"):
        getattr(ActionChains(page), step)(plot).perform()
        settle(page)
    for _ in range(4):
        ActionChains(page).move_by_offset(10, 0).pause(0.1).perform()
    ActionChains(page).release().perform()
    until(page, lambda: not np.allclose(page.execute_script(EYE), start, atol=0.05))
    dragged, eye = settle(page), np.array(page.execute_script(EYE))
    assert not np.array_equal(before, dragged)
    plot.send_keys(Keys.ARROW_RIGHT)
    turned = settle(page)
    assert not np.array_equal(dragged, turned)
    after = np.array(page.execute_script(EYE))
    # The same way round as dragging to the right: the camera goes to the left.
    angles = np.degrees([np.arctan2(y, x) for x, y, _ in (start, eye, after)])
    assert (angles[2] - angles[1]) % 360 == pytest.approx(350, abs=0.5)
    assert 180 < (angles[1] - angles[0]) % 360 < 355
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(eye), rel=0.02)
    plot.send_keys(Keys.ARROW_DOWN)
    assert page.execute_script(EYE)[2] > after[2] + 0.1
    plot.send_keys("-")
    assert np.linalg.norm(page.execute_script(EYE)) > 1.1 * np.linalg.norm(after)
    plot.send_keys("0")
    assert np.abs(settle(page).astype(int) - before).mean() < 1


def test_the_choice_of_shape_and_face_changes_what_is_seen(page: Any) -> None:
    scale = page.find_element(By.ID, "scale")
    shape, face = (Select(page.find_element(By.ID, name)) for name in ("shape", "face"))
    assert len(face.options) == 3 and len(shape.options) == 4
    seen = [settle(page)]
    assert not scale.is_displayed()
    shape.select_by_index(2)
    seen.append(settle(page))
    assert scale.is_displayed()
    face.select_by_index(2)
    # The kind of shape stays chosen when the face changes.
    assert shape.first_selected_option.text.startswith("truth, coloured by the error of first")
    seen.append(settle(page))
    shape.select_by_index(0)
    seen.append(settle(page))
    page.find_element(By.ID, "plain").click()
    seen.append(settle(page))
    page.find_element(By.ID, "plain").click()
    assert np.array_equal(settle(page), seen[3])
    face.select_by_index(0)
    assert np.array_equal(settle(page), seen[0])
    assert len({image.tobytes() for image in seen}) == len(seen)


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
    # Who has no number stays last, whichever way.
    for _ in range(2):
        headers[4].find_element(By.TAG_NAME, "button").click()
        assert np.isnan(column(4)[-1]) and np.isfinite(column(4)[:-1]).all()


def test_tab_reaches_everything_that_can_be_worked(page: Any) -> None:
    worked = "a[href], button, select, input, summary, #plot"
    wanted = page.find_elements(By.CSS_SELECTOR, worked)
    page.execute_script("arguments[0].focus()", wanted[0])
    reached: list[Any] = []
    for _ in range(3 * len(wanted)):
        focus = page.switch_to.active_element
        if focus.tag_name == "body" or focus in reached[:1]:
            break
        reached.append(focus)
        ActionChains(page).send_keys(Keys.TAB).perform()
        width = page.execute_script("return getComputedStyle(document.activeElement).outlineWidth")
        assert width != "0px"
    missing = [element for element in wanted if element not in reached]
    assert not missing, [element.get_attribute("outerHTML")[:80] for element in missing]


@pytest.mark.parametrize("width", [380, 1100])
def test_the_page_is_no_wider_than_the_screen(page: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    until(page, lambda: page.execute_script("return innerWidth") == width)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# After all others: what was said and asked for while they ran.
def test_names_run_no_script_and_the_page_is_silent_and_asks_for_nothing(page: Any) -> None:
    assert page.execute_script("return window.hacked") is None
    said = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert not said
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    urls = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    # Chromium's own first tab is of chrome://.
    asked = {url.split(":")[0] for url in urls}
    assert asked <= {"file", "data", "blob", "chrome", "chrome-untrusted"}, urls
    assert sum(url.startswith("file:") for url in urls) == 1
