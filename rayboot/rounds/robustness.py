"""How far networks stay true to themselves as a face turns: the paper's section 4.2.

A network reconstructs near-frontal photos; its shapes are turned by known angles and
rendered; from the renders it should give the turned shapes again. No true shape is asked for,
so anybody's photos will do. The renders are a pairs data set, made as a round would make it.
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

from rayboot.config import FrozenConfig
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
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.view_angles import spread_steps

__all__ = [
    "Curve",
    "RobustnessConfig",
    "RobustnessPlan",
    "RobustnessResult",
    "prepare_robustness",
    "run_robustness",
]

SET = "self-consistency"
PLOT, PROPOSAL = "robustness.png", "proposed-views.yaml"

Curve = dict[float, Interval]
"""By turn in yaw, degrees and signed: NME in % of the outer eye distance, over faces."""


class RobustnessConfig(FrozenConfig):
    """Networks, photos and turns."""

    input: str | tuple[str, ...] | None = None
    """URI of the photos, or several; ``--input`` overrides it."""
    output: str = "runs/robustness"
    """Local folder of the renders, the rows, the curve and the proposal."""
    models: dict[str, str] = Field({"compact": BUILTIN_COMPACT}, min_length=1)
    """Name in plots to model."""
    turns_deg: tuple[float, ...] = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
    """In yaw, to both sides, rising."""
    generate: GenerateConfig = GenerateConfig()
    """How renders are made; its input, output, model and turns follow from this experiment."""
    protocol: Protocol = Protocol()
    num_actors: int = Field(2, ge=1)
    num_steps: int = Field(3, ge=1, le=8)
    """Turns to each side that are proposed."""
    tracking_uri: str | None = None
    """Of the registry that ``models:/`` names are looked up in."""

    @model_validator(mode="after")
    def _turns_rise(self) -> "RobustnessConfig":
        if not self.turns_deg or sorted(set(self.turns_deg)) != list(self.turns_deg):
            raise ValueError(f"turns_deg must rise, got {self.turns_deg}")
        return self

    def request(self, name: str) -> GenerateConfig:
        """What is asked of ``generate`` for one model."""
        views = self.generate.views.replace(preset=None, yaw_steps_deg=self.turns_deg)
        # The turns are known, and faces near to frontal: as far as the last one must be possible.
        views = views.replace(both_sides_within_deg=90.0, max_gaze_deg=89.0)
        return self.generate.replace(
            input=self.input,
            output=str(Path(self.output) / f"views-{name}"),
            model=self.models[name],
            tracking_uri=self.tracking_uri,
            views=views,
        )


class RobustnessPlan(NamedTuple):
    """A checked request; the renders of each model, by name."""

    config: RobustnessConfig
    output: Path
    renders: dict[str, GeneratePlan]


class RobustnessResult(NamedTuple):
    """What was found.

    Attributes:
        results: a row a view and model, of the views that all models have.
        curves: by model.
        steps_deg: turns that are proposed, by where the first model errs.
        proposal: the config with them, which ``generate`` takes.
    """

    results: Results
    curves: dict[str, Curve]
    steps_deg: tuple[float, ...]
    proposal: Path


def prepare_robustness(config: RobustnessConfig) -> RobustnessPlan:
    """Checks a request; needs no Ray.

    Raises:
        RequestError: photos or a model are missing, or the output cannot be written or holds
            another experiment.
    """
    if config.input is None:
        raise RequestError("robustness needs photos: `input` in the config, or --input")
    require_writable(config.output)
    models = {
        name: resolve_model(model, config.tracking_uri).uri for name, model in config.models.items()
    }
    # Renders and errors are of the same version, even if an alias moves in between.
    config = config.replace(models=models)
    renders = {name: prepare_generate(config.request(name)) for name in config.models}
    return RobustnessPlan(config, Path(config.output), renders)


def run_robustness(plan: RobustnessPlan) -> RobustnessResult:
    """Renders and measures, or what is left of it; Ray must be initialised.

    Writes ``results.parquet``, ``curves.json``, ``robustness.png`` and ``proposed-views.yaml``.
    """
    config = plan.config
    tables = {}
    for name, render in plan.renders.items():
        generate(render)
        tables[name] = _measure(config, name, plan.output / f"errors-{name}")
    results = Results(pa.concat_tables(_shared(tables)), [SET], list(tables))
    results.save(plan.output / "results.parquet")
    curves = {name: _curve(results, name) for name in tables}
    kept = {
        name: [{"turn_deg": turn, **found._asdict()} for turn, found in curve.items()]
        for name, curve in curves.items()
    }
    write_bytes(str(plan.output / "curves.json"), (json.dumps(kept, indent=1) + "\n").encode())
    plot = plot_nme_against_yaw(results.errors(), signed=True)
    write_bytes(str(plan.output / PLOT), plot)
    steps_deg = _propose(next(iter(curves.values())), config.num_steps)
    proposal = _write_proposal(plan.output / PROPOSAL, config, steps_deg)
    return RobustnessResult(results, curves, steps_deg, proposal)


def _measure(config: RobustnessConfig, name: str, folder: Path) -> pa.Table:
    request = EvaluateConfig(
        datasets={SET: RenderedPairsDataset(data=config.request(name).output or "")},
        models={name: config.models[name]},
        output=str(folder),
        protocol=config.protocol,
        num_actors=config.num_actors,
        tracking_uri=config.tracking_uri,
    )
    return measure(prepare_evaluation(request)).results.rows


def _shared(tables: Mapping[str, pa.Table]) -> list[pa.Table]:
    """The rows of views that every model has a number for: others would compare other faces."""
    ids = None
    for table in tables.values():
        known = table.filter(pc.equal(table["reason"], ""))["face_id"].combine_chunks()
        ids = known if ids is None else ids.filter(pc.is_in(ids, value_set=known))
    if ids is None or len(ids) == 0:
        raise RequestError("no view has a number for every model; see the rejects of the renders")
    return [table.filter(pc.is_in(table["face_id"], value_set=ids)) for table in tables.values()]


def _curve(results: Results, name: str) -> Curve:
    errors = results.errors()[name]
    turns = sorted({error.yaw_deg for error in errors})
    return {
        turn: mean_interval(np.array([100 * e.nme_icp for e in errors if e.yaw_deg == turn]))
        for turn in turns
    }


def _propose(curve: Curve, num_steps: int) -> tuple[float, ...]:
    """Turns where the error over both sides is large, close together where it is largest."""
    sizes = sorted({abs(turn) for turn in curve})
    errors = {
        size: sum(found.mean for turn, found in curve.items() if abs(turn) == size)
        / sum(abs(turn) == size for turn in curve)
        for size in sizes
    }
    return spread_steps({size: -error for size, error in errors.items()}, num_steps)


def _write_proposal(path: Path, config: RobustnessConfig, steps_deg: tuple[float, ...]) -> Path:
    """The same request of ``generate`` as here, with the proposed turns; without where it goes."""
    views = config.generate.views.replace(preset=None, yaw_steps_deg=steps_deg)
    first = next(iter(config.models.values()))
    request = config.generate.replace(input=config.input, model=first, views=views)
    values = request.model_dump(mode="json", exclude_defaults=True)
    text = (
        "# Turns where the network disagrees with itself most; rayboot generate --config FILE "
        f"--output URI\n{yaml.safe_dump(values, sort_keys=False)}"
    )
    write_bytes(str(path), text.encode())
    return path
