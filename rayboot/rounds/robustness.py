"""Self-consistency of networks under rotation of the face: section 4.2 of the paper.

A network reconstructs near-frontal photos; its shapes are rotated by known angles and
rendered; from the renders it should reconstruct the rotated shapes. No ground truth is
needed, so any photos can be used. The renders are a pairs data set, generated as in a round.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import Field, model_validator

from rayboot.config import FrozenConfig, ModelName, Uri
from rayboot.errors import RequestError
from rayboot.evaluate.datasets.rendered_pairs import RenderedPairsDataset
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.metrics.statistics import Interval, mean_interval
from rayboot.evaluate.protocol import Protocol
from rayboot.evaluate.report.plots import plot_nme_against_yaw
from rayboot.evaluate.results import Results
from rayboot.evaluate.run import measure, prepare_evaluation
from rayboot.io.storage import require_writable, write_bytes
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import GeneratePlan, prepare_generate
from rayboot.pipeline.listing import require_other_folder
from rayboot.pipeline.runner import Executor
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.view_angles import distribute_steps

__all__ = [
    "Curve",
    "RobustnessConfig",
    "RobustnessPlan",
    "RobustnessResult",
    "prepare_robustness",
    "run_robustness",
]

DATASET_NAME = "self-consistency"
PLOT_FILE, PROPOSAL_FILE = "robustness.png", "proposed-views.yaml"

Curve = dict[float, Interval]
"""NME in % of the outer eye distance over faces, by signed rotation in yaw, degrees."""


class RobustnessConfig(FrozenConfig):
    """Networks, photos and rotations of the robustness experiment."""

    input: Uri | tuple[Uri, ...] | None = None
    """URI of the photos, or several; ``--input`` overrides it."""
    output: Uri = "runs/robustness"
    """Local folder of the renders, the result rows, the curves and the proposal."""
    models: dict[str, ModelName] = Field({"compact": BUILTIN_COMPACT}, min_length=1)
    """Models by their name in plots."""
    turns_deg: tuple[float, ...] = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
    """Rotations in yaw, applied to both sides, in increasing order."""
    generate: GenerateConfig = GenerateConfig()
    """How renders are made; input, output, model and rotations follow from this experiment."""
    protocol: Protocol = Protocol()
    """How errors are measured."""
    num_actors: int = Field(2, ge=1)
    """Number of Ray actors that measure; each holds all models."""
    num_steps: int = Field(3, ge=1, le=8)
    """Number of rotations to each side in the proposal."""
    tracking_uri: str | None = None
    """URI of the registry in which ``models:/`` names are resolved."""

    @model_validator(mode="after")
    def _require_increasing_turns(self) -> "RobustnessConfig":
        if not self.turns_deg or sorted(set(self.turns_deg)) != list(self.turns_deg):
            raise ValueError(f"turns_deg must be increasing and not empty, got {self.turns_deg}")
        return self

    def generate_config(self, name: str) -> GenerateConfig:
        """Returns the config that generates the renders of the model called ``name``."""
        views = self.generate.views.replace(preset=None, yaw_steps_deg=self.turns_deg)
        # Source faces are near-frontal and the rotations are given, so no limit applies to them.
        views = views.replace(both_sides_within_deg=90.0, max_gaze_deg=89.0)
        return self.generate.replace(
            input=self.input,
            output=str(Path(self.output) / f"views-{name}"),
            model=self.models[name],
            tracking_uri=self.tracking_uri,
            views=views,
        )


class RobustnessPlan(NamedTuple):
    """A checked request, with the plan of each model's renders by its name."""

    config: RobustnessConfig
    output: Path
    renders: dict[str, GeneratePlan]


class RobustnessResult(NamedTuple):
    """Results of the robustness experiment.

    Attributes:
        results: one row per view and model, of the views that all models have.
        curves: curve by model.
        steps_deg: proposed yaw steps, chosen from the errors of the first model.
        proposal: file of a config for ``generate`` with the proposed yaw steps.
    """

    results: Results
    curves: dict[str, Curve]
    steps_deg: tuple[float, ...]
    proposal: Path


def prepare_robustness(config: RobustnessConfig) -> RobustnessPlan:
    """Checks a request; needs no Ray.

    Raises:
        RequestError: photos or a model are missing, or the output cannot be written or contains
            another experiment.
    """
    if config.input is None:
        raise RequestError("robustness needs photos: give `input` in the config, or --input")
    require_other_folder(config.input, config.output)
    require_writable(config.output)
    models = {
        name: resolve_model(model, config.tracking_uri).uri for name, model in config.models.items()
    }
    # Renders and errors are of the same version, even if an alias moves in between.
    config = config.replace(models=models)
    renders = {name: prepare_generate(config.generate_config(name)) for name in config.models}
    return RobustnessPlan(config, Path(config.output), renders)


def run_robustness(plan: RobustnessPlan, executor: Executor | None = None) -> RobustnessResult:
    """Renders and measures, or finishes what remains of it; Ray must be initialised.

    Writes ``results.parquet``, ``curves.json``, ``robustness.png`` and ``proposed-views.yaml``.

    Args:
        plan: the checked request, from :func:`prepare_robustness`.
        executor: what runs the stages that render, by default Ray.

    Raises:
        RequestError: no view has an error for every model.
    """
    config = plan.config
    tables = {}
    for name, render in plan.renders.items():
        generate(render, executor)
        tables[name] = _measure(config, name, plan.output / f"errors-{name}")
    rows = pa.concat_tables(_select_common_views(tables))
    results = Results(rows, [DATASET_NAME], list(tables))
    results.save(plan.output / "results.parquet")
    curves = {name: _curve(results, name) for name in tables}
    points = {
        name: [{"turn_deg": turn, **interval._asdict()} for turn, interval in curve.items()]
        for name, curve in curves.items()
    }
    write_bytes(str(plan.output / "curves.json"), (json.dumps(points, indent=1) + "\n").encode())
    plot = plot_nme_against_yaw(results.errors(), signed=True)
    write_bytes(str(plan.output / PLOT_FILE), plot)
    steps_deg = _propose_steps(next(iter(curves.values())), config.num_steps)
    proposal = _write_proposal(plan.output / PROPOSAL_FILE, config, steps_deg)
    return RobustnessResult(results, curves, steps_deg, proposal)


def _measure(config: RobustnessConfig, name: str, folder: Path) -> pa.Table:
    request = EvaluateConfig(
        datasets={
            DATASET_NAME: RenderedPairsDataset(data=config.generate_config(name).output or "")
        },
        models={name: config.models[name]},
        output=str(folder),
        protocol=config.protocol,
        num_actors=config.num_actors,
        tracking_uri=config.tracking_uri,
    )
    return measure(prepare_evaluation(request)).results.rows


def _select_common_views(tables: Mapping[str, pa.Table]) -> list[pa.Table]:
    """Keeps the views that every model has an error for, so that all are compared on the same."""
    ids = None
    for table in tables.values():
        measured = table.filter(pc.equal(table["reason"], ""))["face_id"].combine_chunks()
        ids = measured if ids is None else ids.filter(pc.is_in(ids, value_set=measured))
    if ids is None or len(ids) == 0:
        raise RequestError(
            "no view has an error for every model; see the rejects of the renders in views-MODEL "
            "and the column `reason` of the rows in errors-MODEL"
        )
    return [table.filter(pc.is_in(table["face_id"], value_set=ids)) for table in tables.values()]


def _curve(results: Results, name: str) -> Curve:
    errors = results.errors()[name]
    turns = sorted({error.yaw_deg for error in errors})
    return {
        turn: mean_interval(np.array([100 * e.nme_icp for e in errors if e.yaw_deg == turn]))
        for turn in turns
    }


def _propose_steps(curve: Curve, num_steps: int) -> tuple[float, ...]:
    """Chooses rotations densely where the error, averaged over both sides, is largest."""
    magnitudes = sorted({abs(turn) for turn in curve})
    errors = {
        magnitude: sum(interval.mean for turn, interval in curve.items() if abs(turn) == magnitude)
        / sum(abs(turn) == magnitude for turn in curve)
        for magnitude in magnitudes
    }
    return distribute_steps({step: -error for step, error in errors.items()}, num_steps)


def _write_proposal(path: Path, config: RobustnessConfig, steps_deg: tuple[float, ...]) -> Path:
    """Writes a config for ``generate`` with the proposed yaw steps and without an output."""
    views = config.generate.views.replace(preset=None, yaw_steps_deg=steps_deg)
    first = next(iter(config.models.values()))
    request = config.generate.replace(input=config.input, model=first, views=views)
    values = request.model_dump(mode="json", exclude_defaults=True)
    text = (
        "# Yaw steps where the network disagrees most with itself; use it with\n"
        f"# rayboot generate --config FILE --output URI\n{yaml.safe_dump(values, sort_keys=False)}"
    )
    write_bytes(str(path), text.encode())
    return path
