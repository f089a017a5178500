"""The picture of the service's page in docs/get-started.md: a synthetic person, in Chromium.

python -m benchmarks.serve_picture --output docs/images/serve.png
"""

import argparse
import io
import shutil
import tempfile
import threading
import time
from pathlib import Path

import PIL.Image
import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from rayboot.pipeline.synthesize import synthesize
from rayboot.registry.model_names import BUILTIN_BASE
from rayboot.serving.app import EngineBackend, make_app
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.model_choice import ModelChoice
from rayboot.serving.serve_config import ServeConfig
from rayboot.synthesis import SynthesisConfig

PERSON = SynthesisConfig(
    num_identities=1,
    yaw={"kind": "steps", "steps_deg": (0,)},
    photo_size=360,
    first_identity=500_001,
    seed=4,
)
_PORT = 8011
_FLAGS = (
    "headless=new",
    "no-sandbox",
    "disable-dev-shm-usage",
    "use-angle=swiftshader",
    "enable-unsafe-swiftshader",
    "hide-scrollbars",
    "window-size=1000,860",
)


def start_service() -> uvicorn.Server:
    """Starts the page with the base network in a thread."""
    choice = ModelChoice(BUILTIN_BASE, "rayboot-vrn", "sqlite:///absent.db")
    app = make_app(ServeConfig(), EngineBackend(ReconstructionEngine(ServeConfig(), choice, None)))
    server = uvicorn.Server(uvicorn.Config(app, port=_PORT, log_level="warning", ws="none"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server


def photograph_page(photo: Path) -> PIL.Image.Image:
    """Returns the page after the photo has become a face that is turned a little."""
    options = webdriver.ChromeOptions()
    for flag in _FLAGS:
        options.add_argument(f"--{flag}")
    # Named, since Selenium otherwise asks the network for them.
    options.binary_location = shutil.which("chromium") or ""
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    try:
        driver.get(f"http://127.0.0.1:{_PORT}")
        driver.find_element(By.ID, "file").send_keys(str(photo))
        WebDriverWait(driver, 120).until(
            lambda page: page.find_element(By.ID, "result").is_displayed()
        )
        time.sleep(3)  # the view comes to rest
        return PIL.Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
    finally:
        driver.quit()


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    output: Path = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        synthesize(PERSON, folder, num_workers=1)
        server = start_service()
        picture = photograph_page(next(Path(folder).rglob("*.jpg")))
        server.should_exit = True
    # 128 colours are enough for a page, and a third of the bytes.
    picture.quantize(128).save(output, optimize=True)


if __name__ == "__main__":
    main()
