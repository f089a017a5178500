"""The page of the service in a real browser: every control, errors, a phone, the keyboard."""

import contextlib
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from rayboot.data.mesh_files import decode_mesh
from rayboot.serving.access import digest_token
from rayboot.serving.app import EngineBackend, make_app
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.serve_config import ServeConfig
from tests.http_thread import serving_app
from tests.page_requests import requested_urls

pytestmark = pytest.mark.browser

TIMEOUT_S = 60
TOKEN = "0123456789abcdef"
VIEW = "return document.getElementById(arguments[0]).viewer.view"


@pytest.fixture(scope="module")
def address(engine: ReconstructionEngine) -> Iterator[str]:
    with serving_app(make_app(ServeConfig(), EngineBackend(engine))) as address:
        yield address


@pytest.fixture(scope="module")
def photos(
    tmp_path_factory: pytest.TempPathFactory, portrait: bytes, pair: bytes, landscape: bytes
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("photos")
    contents = {
        "portrait.jpg": portrait,
        "pair.png": pair,
        "landscape.jpg": landscape,
        "text.txt": b"no photo",
        "large.jpg": bytes(40_000_000),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name.partition(".")[0]: folder / name for name in contents}


@pytest.fixture(scope="module")
def downloads(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("downloads")
    behavior = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behavior)
    return folder


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    yield from open_page(browser, address)


def open_page(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page without its animation, and checks afterwards what it logged."""
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(address)
    yield browser
    urls = requested_urls(browser)
    assert all(url.startswith((address, "data:", "blob:", "chrome")) for url in urls), urls
    # An answer that is no mesh is in the log of every browser.
    logged = [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] == "SEVERE" and "Failed to load resource" not in entry["message"]
    ]
    assert not logged


def find(page: Any, name: str) -> Any:
    return page.find_element(By.ID, name)


def wait_until(page: Any, condition: Callable[[], Any]) -> None:
    WebDriverWait(page, TIMEOUT_S, 0.05).until(lambda _: condition())


def choose(page: Any, photo: Path) -> None:
    find(page, "file").send_keys(str(photo))


def show(page: Any, photo: Path) -> None:
    choose(page, photo)
    wait_until(page, lambda: find(page, "result").is_displayed())
    is_busy = "return document.body.classList.contains('busy')"
    wait_until(page, lambda: not page.execute_script(is_busy))


def still_view(page: Any, name: str = "plot") -> np.ndarray:
    """Returns the picture (H, W, 3) of a view when it no longer changes."""
    before = None
    for _ in range(60):
        payload = find(page, name).screenshot_as_png
        current = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
        assert current is not None
        # Without the focus outline.
        current = current[8:-8, 8:-8]
        if before is not None and np.array_equal(before, current):
            return current
        before = current
        time.sleep(0.1)
    raise AssertionError("the view does not stop changing")


def foreground(view: np.ndarray) -> np.ndarray:
    return np.asarray((np.abs(view.astype(int) - view[3, 3].astype(int)) > 25).any(axis=-1))


def test_a_photo_becomes_a_face_in_a_second(page: Any, photos: dict[str, Path]) -> None:
    show(page, photos["portrait"])
    start = time.monotonic()
    show(page, photos["portrait"])
    assert time.monotonic() - start < 5  # measured at 0.5 s; other tests may run beside
    shape = foreground(still_view(page))
    assert 0.1 < shape.mean() < 0.8
    assert shape[shape.shape[0] // 2, shape.shape[1] // 2]
    assert not shape[:, :3].any() and not shape[:, -3:].any() and not shape[:3].any()
    assert find(page, "plot-caption").text == "builtin:compact"
    assert not find(page, "error").is_displayed() and not find(page, "status").is_displayed()


def test_mouse_buttons_and_keys_turn_the_face(page: Any, photos: dict[str, Path]) -> None:
    show(page, photos["portrait"])
    plot = find(page, "plot")
    front = still_view(page)
    drag = ActionChains(page).move_to_element(plot).click_and_hold().move_by_offset(60, 0)
    drag.release().perform()
    assert page.execute_script(VIEW, "plot")["azimuth"] < -5
    turned = still_view(page)
    assert not np.array_equal(front, turned)
    plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_UP, "-")
    view = page.execute_script(VIEW, "plot")
    assert view["elevation"] < -5 and view["distance"] > 1.1
    plot.send_keys("0")
    assert np.abs(still_view(page).astype(int) - front).mean() < 1
    for azimuth in ("-60", "60", "0"):
        page.find_element(By.CSS_SELECTOR, f"[data-azimuth='{azimuth}']").click()
        assert page.execute_script(VIEW, "plot")["azimuth"] == int(azimuth)


def test_touch_turns_and_pinches(page: Any, photos: dict[str, Path]) -> None:
    show(page, photos["portrait"])
    box = page.execute_script(
        "const b = document.getElementById('plot').getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]"
    )

    def touch(kind: str, *offsets: int) -> None:
        points = [{"x": box[0] + offset, "y": box[1], "id": i} for i, offset in enumerate(offsets)]
        page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0)
    for offset in (20, 40, 60):
        touch("touchMove", offset)
    touch("touchEnd")
    assert page.execute_script(VIEW, "plot")["azimuth"] < -5
    touch("touchStart", -20, 20)
    for offset in (30, 40, 60):
        touch("touchMove", -offset, offset)
    touch("touchEnd")
    assert page.execute_script(VIEW, "plot")["distance"] < 0.7


def test_the_photo_on_the_surface_can_be_taken_off(page: Any, photos: dict[str, Path]) -> None:
    show(page, photos["portrait"])
    textured = still_view(page)
    find(page, "texture").click()
    plain = still_view(page)
    face = foreground(plain)
    # The surface is grey.
    assert np.ptp(plain[face].astype(int), axis=1).mean() < 14 < np.ptp(
        textured[face].astype(int), axis=1
    ).mean()  # fmt: skip
    find(page, "texture").click()
    assert np.array_equal(still_view(page), textured)


def test_the_texture_lies_where_the_photo_shows_the_face(
    page: Any, photos: dict[str, Path]
) -> None:
    show(page, photos["portrait"])
    textured = still_view(page).astype(int)
    # Without the photo's own resolution, the colours of the vertices are in the same places.
    page.execute_script(
        "const v = document.getElementById('plot').viewer;"
        "v.show(v.scene.map(({texture, ...part}) => part), v.halfWidth)"
    )
    vertices = still_view(page).astype(int)
    face = foreground(vertices)
    assert 0 < np.abs(textured - vertices)[face].mean() < 25
    shifted = np.roll(vertices, 12, axis=0)
    inner = face & np.roll(face, 12, axis=0)
    assert (
        np.abs(textured - vertices)[inner].mean() < 0.8 * np.abs(textured - shifted)[inner].mean()
    )


def test_a_photo_that_its_exif_turns_has_its_texture(
    page: Any, photos: dict[str, Path], tmp_path: Path
) -> None:
    image = PIL.Image.open(photos["portrait"]).rotate(90, expand=True).crop((0, 0, 144, 140))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    show(page, tmp_path / "turned.jpg")
    weights = "return document.getElementById('plot').viewer.scene[0].texture.weights.length"
    assert page.execute_script(weights) > 5000
    box = page.find_element(By.CSS_SELECTOR, "#boxes button").rect
    photo = find(page, "photo").rect
    assert box["y"] > photo["y"] and box["y"] + box["height"] < photo["y"] + photo["height"]


def test_faces_of_a_photo_are_chosen_in_it(page: Any, photos: dict[str, Path]) -> None:
    show(page, photos["pair"])
    boxes = page.find_elements(By.CSS_SELECTOR, "#boxes button")
    assert [box.get_attribute("aria-label") for box in boxes] == ["Face 1 of 2", "Face 2 of 2"]
    assert "2 faces" in find(page, "faces-note").text
    first = still_view(page)
    boxes[1].send_keys(Keys.ENTER)

    selected = "return document.querySelector('#boxes [aria-pressed=true]').innerText"
    wait_until(page, lambda: page.execute_script(selected) == "2")
    assert not np.array_equal(still_view(page), first)
    # The focus stays on the face that was chosen.
    assert page.switch_to.active_element.get_attribute("aria-label") == "Face 2 of 2"


def test_two_versions_are_shown_side_by_side(page: Any, photos: dict[str, Path]) -> None:
    show(page, photos["portrait"])
    assert not find(page, "second-view").is_displayed()
    wait_until(page, lambda: find(page, "compare-label").is_displayed())
    find(page, "compare").click()
    wait_until(page, lambda: find(page, "second-view").is_displayed())
    assert find(page, "second-caption").text == "builtin:base"
    find(page, "plot").send_keys(Keys.ARROW_LEFT)
    assert page.execute_script(VIEW, "plot") == page.execute_script(VIEW, "second-plot")
    one, other = still_view(page), still_view(page, "second-plot")
    assert foreground(one).any() and foreground(other).any()
    assert one.shape != other.shape or not np.array_equal(one, other)
    find(page, "compare").click()
    wait_until(page, lambda: not find(page, "second-view").is_displayed())


def test_meshes_are_downloaded(page: Any, photos: dict[str, Path], downloads: Path) -> None:
    show(page, photos["pair"])
    for kind, name in (("glb", "pair.glb"), ("ply", "pair.ply"), ("obj", "pair-obj.zip")):
        page.find_element(By.CSS_SELECTOR, f"[data-format={kind}]").click()
        wait_until(page, (downloads / name).exists)
    glb, ply = (decode_mesh((downloads / f"pair.{kind}").read_bytes(), f".{kind}")
                for kind in ("glb", "ply"))  # fmt: skip
    assert np.allclose(glb.vertices, ply.vertices, atol=1e-6)
    assert 0.1 < np.ptp(glb.vertices[:, 1]) < 0.4  # metres
    names = zipfile.ZipFile(downloads / "pair-obj.zip").namelist()
    assert [Path(name).suffix for name in names] == [".obj", ".mtl", ".png"]


@pytest.mark.parametrize(
    ("photo", "reason", "words"),
    [
        ("landscape", "no-face", "No face was found"),
        ("text", "undecodable", "no photo that can be read"),
        ("large", "too-large", "40 MB"),
    ],
)
def test_errors_are_told_in_plain_words(
    page: Any, photos: dict[str, Path], photo: str, reason: str, words: str
) -> None:
    choose(page, photos[photo])
    wait_until(page, lambda: find(page, "error").is_displayed())
    error = find(page, "error")
    assert error.get_attribute("data-reason") == reason and words in error.text
    assert error.get_attribute("role") == "alert"
    assert not find(page, "result").is_displayed() and not find(page, "status").is_displayed()
    # The next photo is as good as the first.
    show(page, photos["portrait"])
    assert not error.is_displayed()


def test_a_service_that_is_gone_is_reported(browser: Any, photos: dict[str, Path],
                                            engine: ReconstructionEngine) -> None:  # fmt: skip
    with serving_app(make_app(ServeConfig(), EngineBackend(engine))) as address:
        browser.get(address)
    choose(browser, photos["portrait"])
    wait_until(browser, lambda: "cannot be reached" in find(browser, "error").text)


def test_the_keyboard_alone_is_enough(page: Any, photos: dict[str, Path]) -> None:
    show(page, photos["pair"])
    controls = [
        element
        for element in page.find_elements(
            By.CSS_SELECTOR, "button, input:not([type=password]), canvas, summary"
        )
        if element.is_displayed() or element.get_attribute("id") == "file"
    ]
    page.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    find(page, "file")
    reached: list[Any] = []
    for _ in range(3 * len(controls)):
        ActionChains(page).send_keys(Keys.TAB).perform()
        focus = page.switch_to.active_element
        if focus in reached:
            break
        reached.append(focus)
        if focus.tag_name == "body":
            continue
        # The file chooser itself is invisible, and its label has the outline.
        width = page.execute_script(
            "const e = document.activeElement, at = e.id === 'file' ? e.closest('label') : e;"
            "return getComputedStyle(at).outlineWidth"
        )
        assert width == "3px", focus.get_attribute("outerHTML")[:80]
    missing = [element for element in controls if element not in reached]
    assert not missing, [element.get_attribute("outerHTML")[:80] for element in missing]


@pytest.mark.parametrize("width", [360, 390, 1100])
def test_the_page_is_no_wider_than_the_window(
    page: Any, photos: dict[str, Path], width: int
) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        show(page, photos["pair"])
        find(page, "compare").click()
        wait_until(page, lambda: find(page, "second-view").is_displayed())
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        top, height = page.execute_script(
            "const b = document.getElementById('plot').getBoundingClientRect();"
            "return [b.top + scrollY, b.height]"
        )
        # Of a phone's window, without scrolling.
        assert top + height < 800 and height > 180
        small = page.execute_script(
            "return [...document.querySelectorAll('.group button, .check')].filter("
            "e => e.offsetParent && e.getBoundingClientRect().height < 40).length"
        )
        assert small == 0
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_dropped_photo_is_taken(page: Any, photos: dict[str, Path]) -> None:
    payload = np.frombuffer(photos["portrait"].read_bytes(), np.uint8).tolist()
    page.execute_script(
        "const data = new DataTransfer();"
        "data.items.add(new File([Uint8Array.from(arguments[0])], 'a.jpg', {type: 'image/jpeg'}));"
        "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true,"
        " cancelable: true}))",
        payload,
    )
    wait_until(page, lambda: find(page, "result").is_displayed())


def test_the_token_is_asked_for(
    browser: Any, engine: ReconstructionEngine, photos: dict[str, Path]
) -> None:
    config = ServeConfig(host="0.0.0.0")
    app = make_app(config, EngineBackend(engine), digest_token(TOKEN))
    with serving_app(app) as address, contextlib.closing(open_page(browser, address)) as pages:
        page = next(pages)
        assert find(page, "token-form").is_displayed()
        find(page, "token").send_keys("wrong-wrong-wrong", Keys.ENTER)
        choose(page, photos["portrait"])
        wait_until(page, lambda: find(page, "error").is_displayed())
        assert find(page, "token-form").is_displayed()
        find(page, "token").clear()
        find(page, "token").send_keys(TOKEN, Keys.ENTER)
        wait_until(page, lambda: find(page, "result").is_displayed())
        assert not find(page, "error").is_displayed()
        with pytest.raises(StopIteration):
            next(pages)
