"""Sending a job, following its log, and stopping it, by Ray's own client."""

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
from ray.job_submission import JobStatus, JobSubmissionClient

from rayboot.cluster.versions import SUBMITTER_VARIABLE, installed_versions
from rayboot.errors import RaybootError, RequestError
from rayboot.submission.prepare import CONFIG_NAME, Submission

__all__ = ["follow_job", "stop_job", "submit_job"]

_POLL_S = 1.0
_RETRIES = 120
"""Polls that may fail in a row: a head that restarts is away for a while."""

Echo = Callable[[str], None]


def submit_job(submission: Submission) -> str:
    """Sends the job; its id.

    Raises:
        RaybootError: the cluster did not take it.
    """
    client = JobSubmissionClient(submission.address)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CONFIG_NAME).write_bytes(submission.config)
        versions = {SUBMITTER_VARIABLE: json.dumps(installed_versions())}
        try:
            return client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=f"rayboot-{submission.task}-{secrets.token_hex(4)}",
                runtime_env={
                    "working_dir": folder,
                    "env_vars": {**submission.environment, **versions},
                },
                metadata={"task": submission.task},
            )
        except RuntimeError as error:
            raise RaybootError(f"{submission.address} did not take the job: {error}") from error


def follow_job(address: str, job: str, echo: Echo) -> int:
    """Hands the job's log on while it is written, and returns the job's exit status.

    Args:
        address: of the dashboard.
        job: its id.
        echo: gets pieces of the log, as they come.

    Raises:
        RequestError: the cluster knows no such job.
        RaybootError: the cluster was away for two minutes.
    """
    client = JobSubmissionClient(address)
    log, failures = _Log(client, job, echo), 0
    while True:
        try:
            # Asked first: an unknown job is told apart from a log that is away.
            client.get_job_info(job)
            asyncio.run(log.show())
            details = client.get_job_info(job)
        # Ray's client tells by a RuntimeError of every status but 200.
        except (OSError, aiohttp.ClientError, RuntimeError) as error:
            if "status code 404" in str(error):
                raise RequestError(
                    f"{address} knows no job {job}; a head that was started again has forgotten "
                    "its jobs, unless it keeps them in Redis: submit the same again, and it goes "
                    "on where it stopped"
                ) from error
            failures += 1
            if failures > _RETRIES:
                raise RaybootError(
                    f"{address} is away ({error}); the job {job} may still run"
                ) from error
        else:
            failures = 0
            if details.status.is_terminal():
                return _exit_status(details.status, details.driver_exit_code)
        time.sleep(_POLL_S)


class _Log:
    """Shows what of a job's log is new; the stream begins at its start whenever it is opened."""

    def __init__(self, client: JobSubmissionClient, job: str, echo: Echo) -> None:
        self._client, self._job, self._echo, self._shown = client, job, echo, 0

    async def show(self) -> None:
        seen = 0
        async for piece in self._client.tail_job_logs(self._job):
            self._echo(piece[max(0, self._shown - seen) :])
            seen += len(piece)
            self._shown = max(self._shown, seen)


def _exit_status(status: JobStatus, code: int | None) -> int:
    if status == JobStatus.SUCCEEDED:
        return 0
    return code if code is not None and code > 0 else 1


def stop_job(address: str, job: str) -> None:
    """Asks the cluster to stop the job."""
    JobSubmissionClient(address).stop_job(job)
