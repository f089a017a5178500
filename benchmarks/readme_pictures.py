"""The README's pictures: rotated views of synthetic people, and shapes of the shipped network.

python -m benchmarks.readme_pictures --output docs/images
"""

import argparse
import tempfile
from pathlib import Path

import torch

from rayboot.data.images import decode_photo, encode_image
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure_faces import MeasureFaces
from rayboot.evaluate.protocol import Protocol
from rayboot.evaluate.report.examples import make_examples, pick_by_yaw
from rayboot.evaluate.report.panels import draw_panels
from rayboot.evaluate.results import FaceError
from rayboot.models import load_network
from rayboot.pipeline.preview import preview_photos
from rayboot.pipeline.synthesize import synthesize
from rayboot.registry.model_names import BUILTIN_BASE
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.demo import demo_config
from rayboot.synthesis import SynthesisConfig

FRONTAL = SynthesisConfig(
    num_identities=16,
    yaw={"kind": "uniform", "max_deg": 12},
    max_pitch_deg=8,
    first_identity=500_000,
    seed=4,
)
TURNED = SynthesisConfig(
    num_identities=10,
    yaw={"kind": "steps", "steps_deg": (0, 10, 25, 40, 55)},
    first_identity=600_000,
    seed=4,
)
"""Identities that no network was trained on."""

NAME = "base"


def draw_views(folder: Path) -> bytes:
    """Returns a contact sheet (PNG) of the demo's views of six near-frontal photos."""
    photos = str(folder / "photos")
    synthesize(FRONTAL, photos, num_workers=1)
    sheet = preview_photos(demo_config().generate, photos, folder / "sheet.png", num_faces=6)
    return sheet.read_bytes()


def draw_shapes(folder: Path) -> bytes:
    """Returns panels (PNG) of five photos: shapes from several sides, and their errors."""
    synthesize(TURNED, str(folder), num_workers=1)
    dataset, weights = SyntheticDataset(data=str(folder)), resolve_model(BUILTIN_BASE).path
    measure = MeasureFaces(
        {NAME: load_network(weights)}, MeasureConfig(datasets={NAME: dataset}), NAME
    )
    rows = measure(dataset.list_faces().rows).to_pylist()
    errors = [FaceError(**{field: row[field] for field in FaceError._fields}) for row in rows]
    chosen = pick_by_yaw(errors, 5)
    examples = make_examples({NAME: weights}, dataset, errors, chosen, Protocol())
    return draw_panels(examples, [NAME])


def main() -> None:
    """Writes both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, draw in (("views", draw_views), ("shapes", draw_shapes)):
        with tempfile.TemporaryDirectory() as folder:
            png = draw(Path(folder))
        path = arguments.output / f"{name}.jpg"
        path.write_bytes(encode_image(decode_photo(png), "jpeg"))
        print(path)


if __name__ == "__main__":
    main()
