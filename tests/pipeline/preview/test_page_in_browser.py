"""The page of a pairs data set in a real browser: it sorts, logs no errors, makes no requests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rayboot.pipeline.preview.page import describe_pairs, render_page
from tests.page_requests import requested_urls
from tests.pipeline.preview.pairs import CONFIDENCES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(browser: Any, mixed_pairs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    file = tmp_path_factory.mktemp("page") / "pairs.html"
    file.write_text(render_page(describe_pairs(mixed_pairs)), "utf-8")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(Path(file).as_uri())
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def column(page: Any, number: int) -> list[str]:
    cells = page.find_elements(By.CSS_SELECTOR, f"#table td:nth-child({number})")
    return [cell.text for cell in cells]


def header(page: Any, text: str) -> Any:
    buttons = page.find_elements(By.CSS_SELECTOR, "#table th button")
    return next(button for button in buttons if button.text == text)


def test_the_table_sorts_by_confidence_yaw_and_id(page: Any) -> None:
    header(page, "confidence").click()
    assert column(page, 3) == [f"{value:.2f}" for value in sorted(CONFIDENCES)]
    header(page, "confidence").click()
    assert column(page, 3) == [f"{value:.2f}" for value in sorted(CONFIDENCES, reverse=True)]
    header(page, "yaw").click()
    yaws = [int(text.rstrip("°").replace("−", "-")) for text in column(page, 4)]
    assert yaws == sorted(yaws) and yaws[0] < 0 < yaws[-1]
    header(page, "face").click()
    names = column(page, 2)
    assert names[0].startswith("<script>") and names[1:] == sorted(names[1:])
    assert len(names) == 6


def test_the_keyboard_sorts(page: Any) -> None:
    page.execute_script("arguments[0].focus()", header(page, "face"))
    ActionChains(page).send_keys(Keys.TAB).send_keys(Keys.ENTER).perform()
    assert page.switch_to.active_element.text == "confidence"
    assert column(page, 3) == [f"{value:.2f}" for value in sorted(CONFIDENCES)]
    ActionChains(page).send_keys(Keys.SPACE).perform()
    assert column(page, 3) == [f"{value:.2f}" for value in sorted(CONFIDENCES, reverse=True)]
    sorted_by = page.find_elements(By.CSS_SELECTOR, "#table th[aria-sort]")
    assert [th.get_attribute("aria-sort") for th in sorted_by] == ["descending"]


def test_every_image_is_decoded(page: Any) -> None:
    widths = page.execute_script("return [...document.images].map((image) => image.naturalWidth)")
    # Views of six faces twice, thumbnails of the table and of four rejects.
    assert len(widths) == 2 * 6 * 6 + 6 + 4 and min(widths) > 30


def test_links_lead_to_their_sections(page: Any) -> None:
    for link in page.find_elements(By.CSS_SELECTOR, "nav a"):
        target = link.get_attribute("href").partition("#")[2]
        title = page.find_element(By.CSS_SELECTOR, f"#{target} h2").text
        assert title == link.text


@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_is_no_wider_than_the_screen(page: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert page.execute_script("return innerWidth") == width
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    chart = page.find_element(By.CSS_SELECTOR, "#histograms svg")
    assert 250 < chart.rect["width"] < width
    # The labels of a histogram are inside its drawing.
    labels = page.execute_script(
        "return [...document.querySelectorAll('#histograms text')].map((text) => {"
        " const [a, b] = [text, text.ownerSVGElement].map((e) => e.getBoundingClientRect());"
        " return [a.left - b.left, b.right - a.right, a.top - b.top, b.bottom - a.bottom]; })"
    )
    assert len(labels) > 20 and np.min(labels) > -1


# Runs after all others, and checks the logs of what they did.
def test_names_run_no_script_and_the_page_logs_and_requests_nothing(page: Any) -> None:
    assert page.execute_script("return window.hacked") is None
    assert page.get_log("browser") == []
    urls = requested_urls(page)
    schemes = {url.split(":")[0] for url in urls}
    # Chromium's own first tab uses chrome://.
    assert schemes <= {"file", "data", "blob", "chrome", "chrome-untrusted"}, urls
    assert sum(url.startswith("file:") for url in urls) == 1
