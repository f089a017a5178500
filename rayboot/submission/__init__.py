"""Submission of commands as jobs to a remote Ray cluster."""

from rayboot.submission.job import follow_job, submit_job
from rayboot.submission.prepare import Submission, prepare_submission

__all__ = ["Submission", "follow_job", "prepare_submission", "submit_job"]
