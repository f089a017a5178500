"""Load on a running `rayboot serve`, and requests that are damaged on purpose.

    rayboot serve --config FILE                                  # in another terminal
    python benchmarks/serve_load.py load --photos data/faces     # 64 clients at once
    python benchmarks/serve_load.py mutate --photos data/faces   # 2,000 damaged requests

``load`` lets every client send one photo after the other, and fails if an answer has a status
other than 200, 429 and 503. A client that is refused waits as long as ``Retry-After`` says.
``mutate`` changes, removes and repeats bytes of requests, and fails if an answer is no answer or a
replica ends. Both print one JSON with the memory of the service's processes on this machine.
"""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import click
import numpy as np
import psutil

from benchmarks.machine import commit, describe_machine

__all__ = ["mutate"]

ALLOWED_UNDER_LOAD = {200, 429, 503}
ANSWERS_TO_DAMAGE = {200, 400, 413, 415, 422, 429, 503}
BOUNDARY = "rayboot-benchmark"
NUM_MEMORY_SAMPLES = 10


def mutate(rng: np.random.Generator, body: bytes) -> bytes:
    """Returns a request body with some bytes changed, removed or repeated."""
    changed = bytearray(body)
    for _ in range(int(rng.integers(1, 12))):
        start = int(rng.integers(len(changed)))
        length = int(min(rng.geometric(0.02), len(changed) - start))
        match rng.integers(4):
            case 0:
                changed[start : start + length] = rng.bytes(length)
            case 1 if len(changed) > length + 1:
                del changed[start : start + length]
            case 2:
                changed[start:start] = changed[start : start + length]
            case _:
                changed[start] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def encode_form(photo: bytes) -> bytes:
    """Returns the body of a form with one photo."""
    head = (
        f"--{BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="photo"; filename="a.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()


def find_processes() -> dict[int, psutil.Process]:
    """Returns the processes of Ray Serve on this machine by process id."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if command.startswith(("ray::ServeReplica", "ray::ProxyActor")):
            found[process.pid] = process
    return found


def measure_memory() -> dict[str, float]:
    """Returns the memory of each kind of process of Ray Serve, MiB."""
    memory: Counter[str] = Counter()
    for process in find_processes().values():
        name = process.cmdline()[0].removeprefix("ray::").removeprefix("ServeReplica:rayboot:")
        memory[name.partition(".")[0]] += process.memory_full_info().uss / 2**20
    return {name: round(size, 1) for name, size in sorted(memory.items())}


class Run:
    """Requests and what became of them.

    Args:
        address: address of the service.
        query: query of each request.
        num_requests: number of requests of all clients together.
    """

    def __init__(self, address: str, query: dict[str, str], num_requests: int) -> None:
        self._url, self._query = f"{address}/v1/reconstruct", query
        self._num_requests = num_requests
        self._num_begun = 0
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.memory = [measure_memory()]

    async def work(self, session: aiohttp.ClientSession, bodies: list[bytes]) -> None:
        """Sends requests until all have been sent."""
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        while self._num_begun < self._num_requests:
            number = self._num_begun
            self._num_begun += 1
            body = bodies[number % len(bodies)]
            start = time.perf_counter()
            async with session.post(
                self._url, params=self._query, data=body, headers=headers
            ) as response:
                await response.read()
            self.statuses[response.status] += 1
            if response.status == 200:
                self.seconds.append(time.perf_counter() - start)
            if response.status in (429, 503):
                await asyncio.sleep(float(response.headers["Retry-After"]))
            if number and number % max(1, self._num_requests // NUM_MEMORY_SAMPLES) == 0:
                # In a thread, because it takes long enough to delay the other clients.
                self.memory.append(await asyncio.to_thread(measure_memory))

    def describe(self) -> dict[str, Any]:
        """Returns counts, times and memory as JSON values."""
        times = np.array(self.seconds or [np.nan])
        return {
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "seconds": {f"p{q}": round(float(np.percentile(times, q)), 3) for q in (50, 90, 99)},
            "memory_mib": [*self.memory, measure_memory()],
        }


async def send(run: Run, bodies: list[bytes], clients: int, token: str | None) -> float:
    """Lets clients send requests at one time; returns the seconds that they took."""
    start = time.perf_counter()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=300),
        headers=headers,
    ) as session:
        await asyncio.gather(*(run.work(session, bodies) for _ in range(clients)))
    return time.perf_counter() - start


def read_photos(folder: Path, count: int) -> list[bytes]:
    """Returns the first photos of a folder."""
    paths = sorted(path for path in folder.rglob("*.jpg"))[:count]
    if not paths:
        raise click.ClickException(f"{folder}: contains no .jpg")
    return [path.read_bytes() for path in paths]


def report(kind: str, clients: int, run: Run, seconds: float) -> None:
    """Prints the result as JSON."""
    result = {
        "kind": kind,
        "commit": commit(),
        "machine": describe_machine(),
        "clients": clients,
        "wall_s": round(seconds, 1),
        "answers_per_s": round(sum(run.statuses.values()) / seconds, 1),
        "results_per_s": round(run.statuses[200] / seconds, 1),
        **run.describe(),
    }
    click.echo(json.dumps(result))


@click.group(help=__doc__)
def main() -> None:
    """Runs one of the two."""


photos_option = click.option("--photos", required=True, type=click.Path(path_type=Path))
address_option = click.option("--address", default="http://127.0.0.1:8000", show_default=True)
token_option = click.option("--token", envvar="RAYBOOT_SERVE_TOKEN")


@main.command()
@photos_option
@address_option
@token_option
@click.option("--clients", default=64, show_default=True)
@click.option("--requests", "num_requests", default=5000, show_default=True)
@click.option("--output", default="glb", show_default=True)
def load(
    photos: Path, address: str, token: str | None, clients: int, num_requests: int, output: str
) -> None:
    """Sends photos from many clients at one time."""
    bodies = [encode_form(photo) for photo in read_photos(photos, 50)]
    run = Run(address, {"output": output}, num_requests)
    seconds = asyncio.run(send(run, bodies, clients, token))
    report("load", clients, run, seconds)
    if unexpected := set(run.statuses) - ALLOWED_UNDER_LOAD:
        raise click.ClickException(f"unexpected statuses: {sorted(unexpected)}")


@main.command("mutate")
@photos_option
@address_option
@token_option
@click.option("--clients", default=4, show_default=True)
@click.option("--requests", "num_requests", default=2000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def send_mutated(
    photos: Path, address: str, token: str | None, clients: int, num_requests: int, seed: int
) -> None:
    """Sends damaged requests."""
    originals = [encode_form(photo) for photo in read_photos(photos, 20)]
    bodies = [
        mutate(np.random.default_rng([seed, number]), originals[number % len(originals)])
        for number in range(num_requests)
    ]
    before = set(find_processes())
    run = Run(address, {"output": "json"}, num_requests)
    seconds = asyncio.run(send(run, bodies, clients, token))
    report("mutate", clients, run, seconds)
    if unexpected := set(run.statuses) - ANSWERS_TO_DAMAGE:
        raise click.ClickException(f"unexpected statuses: {sorted(unexpected)}")
    if before - set(find_processes()):
        raise click.ClickException("a process of the service ended")


if __name__ == "__main__":
    main()
