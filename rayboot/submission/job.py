"""Submitting a job, following its log, and stopping it, through Ray's own client."""

import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from ray.job_submission import JobStatus, JobSubmissionClient

from rayboot.cluster.versions import SUBMITTER_VARIABLE, installed_versions
from rayboot.errors import RaybootError, RequestError
from rayboot.submission.prepare import CONFIG_NAME, Submission

__all__ = ["follow_job", "stop_job", "submit_job"]

_POLL_INTERVAL_S = 1.0
_MAX_FAILED_POLLS = 120
"""Polls that may fail in a row: a head that restarts is unavailable for a while."""

Echo = Callable[[str], None]


def submit_job(submission: Submission) -> str:
    """Submits the job and returns its id.

    Raises:
        RaybootError: the cluster did not accept the job.
    """
    client = JobSubmissionClient(submission.address)
    versions = {SUBMITTER_VARIABLE: json.dumps(installed_versions())}
    runtime_env: dict[str, Any] = {"env_vars": {**submission.environment, **versions}}
    with tempfile.TemporaryDirectory() as folder:
        if submission.config is not None:
            (Path(folder) / CONFIG_NAME).write_bytes(submission.config)
            runtime_env["working_dir"] = folder
        try:
            return client.submit_job(
                entrypoint=submission.entrypoint,
                submission_id=f"rayboot-{submission.task}-{secrets.token_hex(4)}",
                runtime_env=runtime_env,
                metadata={"task": submission.task},
            )
        except RuntimeError as error:
            raise RaybootError(
                f"the cluster at {submission.address} did not accept the job: {error}"
            ) from error


def follow_job(address: str, job: str, echo: Echo) -> int:
    """Forwards a job's log while it is written, and returns the job's exit status.

    Args:
        address: address of the dashboard.
        job: id of the job.
        echo: receives pieces of the log as they arrive.

    Raises:
        RequestError: the cluster has no job of this id.
        RaybootError: the cluster was unavailable for two minutes.
    """
    client = JobSubmissionClient(address)
    log, num_failures = _LogFollower(client, job, echo), 0
    while True:
        try:
            # Queried first, because it distinguishes an unknown job from an unavailable log.
            client.get_job_info(job)
            asyncio.run(log.echo_new())
            details = client.get_job_info(job)
        # Ray's client raises a RuntimeError for every HTTP status but 200.
        except (OSError, aiohttp.ClientError, RuntimeError) as error:
            if "status code 404" in str(error):
                raise RequestError(
                    f"the cluster at {address} has no job {job}; a head that was restarted has "
                    "forgotten its jobs, unless it stores them in Redis: submit the same command "
                    "again, and it resumes where it stopped"
                ) from error
            num_failures += 1
            if num_failures > _MAX_FAILED_POLLS:
                raise RaybootError(
                    f"the cluster at {address} is unavailable ({error}); the job {job} may still "
                    f"run: see it with rayboot submit --follow {job} --address {address}"
                ) from error
        else:
            num_failures = 0
            if details.status.is_terminal():
                return _exit_status(details.status, details.driver_exit_code)
        time.sleep(_POLL_INTERVAL_S)


class _LogFollower:
    """Echoes the new part of a job's log; Ray's stream begins at the start at every connection."""

    def __init__(self, client: JobSubmissionClient, job: str, echo: Echo) -> None:
        self._client, self._job, self._echo, self._num_echoed = client, job, echo, 0

    async def echo_new(self) -> None:
        """Echoes what was not echoed before, until the stream ends."""
        num_received = 0
        async for piece in self._client.tail_job_logs(self._job):
            self._echo(piece[max(0, self._num_echoed - num_received) :])
            num_received += len(piece)
            self._num_echoed = max(self._num_echoed, num_received)


def _exit_status(status: JobStatus, code: int | None) -> int:
    if status == JobStatus.SUCCEEDED:
        return 0
    return code if code is not None and code > 0 else 1


def stop_job(address: str, job: str) -> None:
    """Requests the cluster to stop the job."""
    JobSubmissionClient(address).stop_job(job)
