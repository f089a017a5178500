"""Rate of the NME with ICP: faces per second with one process per core.

python benchmarks/nme.py

Predictions are surfaces of full-size volumes (about 70,000 vertices). Ground truths are the fronts
of other synthetic heads, subdivided to about 28,000 vertices, rotated and shifted. Both directions
of the distance are timed.
"""

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from typing import NamedTuple

import click
import numpy as np
import trimesh
from scipy import ndimage

from benchmarks.machine import commit, describe_machine
from rayboot.data.ground_truth import decode_vertices, read_topology, read_truth
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.protocol import Direction, Protocol
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.volume import unpack_occupancy
from rayboot.pipeline.synthesize import synthesize
from rayboot.synthesis import SynthesisConfig

DIRECTIONS: tuple[Direction, ...] = ("truth_to_prediction", "both")
SIZE, SLICES = 192, 200


class Case(NamedTuple):
    """A predicted and a true face, px, and the true outer eye distance."""

    predicted: Mesh
    truth: Mesh
    interocular: float


_CASES: list[Case] = []
"""Cases to compare; filled before processes are forked, so that nothing is sent to them."""


@click.command()
@click.option(
    "--faces", "num_faces", default=8, show_default=True, help="Number of different faces."
)
@click.option("--repeats", default=6, show_default=True, help="Comparisons per face and turn.")
@click.option("--turns", default=5, show_default=True)
def main(num_faces: int, repeats: int, turns: int) -> None:
    """Prints one JSON object."""
    cases = make_cases(num_faces)
    _CASES.extend(cases)
    num_processes = len(os.sched_getaffinity(0))
    record: dict[str, object] = {
        "commit": commit(),
        **describe_machine(),
        "processes": num_processes,
        "predicted_vertices": [len(case.predicted.vertices) for case in cases],
        "true_vertices": [len(case.truth.vertices) for case in cases],
    }
    context = multiprocessing.get_context("fork")
    for direction in DIRECTIONS:
        work = [(index, direction) for index in range(num_faces)] * repeats
        with context.Pool(num_processes) as pool:
            pool.map(_warm_up, range(num_processes), chunksize=1)
            rates = []
            for _ in range(turns):
                started = time.perf_counter()
                pool.map(_compare_case, work, chunksize=4)
                rates.append(len(work) / (time.perf_counter() - started))
        record[f"faces_per_s_{direction}"] = {
            "median": round(statistics.median(rates), 1),
            "low": round(min(rates), 1),
            "high": round(max(rates), 1),
        }
    click.echo(json.dumps(record, indent=1))


def make_cases(num_faces: int) -> list[Case]:
    """Returns each face's own volume with the mesh of the next face as ground truth."""
    with tempfile.TemporaryDirectory() as folder:
        config = SynthesisConfig(
            num_identities=num_faces, crop_size=SIZE, slices=SLICES, photo_size=96, seed=3
        )
        synthesize(config, folder, num_workers=1)
        rows, faces = read_truth(folder).to_pylist(), read_topology(folder)
    cases = []
    for row, other in zip(rows, rows[1:] + rows[:1], strict=True):
        bits = unpack_occupancy(row["occupancy"], tuple(row["shape"]))
        soft = ndimage.gaussian_filter(bits.astype(np.float32), (2, 1, 1))
        rotation = rotation_yaw_pitch(*np.radians((row["yaw_deg"] - other["yaw_deg"] + 3, 2.0)))
        vertices = decode_vertices(other["vertices"]) @ rotation.T + [2.0, -1.0, 5.0]
        truth = Mesh(vertices, faces)
        for _ in range(2):
            truth = Mesh(*map(np.asarray, trimesh.remesh.subdivide(truth.vertices, truth.faces)))
        cases.append(Case(extract_surface(soft), truth, row["interocular"]))
    return cases


def _warm_up(_: int) -> None:
    """Runs one small comparison, so that a process has loaded everything."""
    Comparison(np.random.default_rng(0).normal(size=(500, 3)), np.eye(3), 1.0).nme("none")


def _compare_case(work: tuple[int, Direction]) -> float:
    index, direction = work
    case, protocol = _CASES[index], Protocol(direction=direction)
    return Comparison(case.predicted, case.truth, case.interocular, protocol).nme("icp")


if __name__ == "__main__":
    main()
