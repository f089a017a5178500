"""Access to S3 without keys: public buckets are read anonymously where a machine has none.

A run decides this once, on the machine that starts it. Its workers do as it does: one that lacks
the keys which the others have must fail, instead of being refused every photo.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["ANONYMOUS_VARIABLE", "CHECKSUM_VARIABLE", "anonymous_setting", "s3_options"]

ANONYMOUS_VARIABLE = "RAYBOOT_S3_ANONYMOUS"
"""Environment variable that decides for a process: ``1`` is without keys, ``0`` is with keys."""

CHECKSUM_VARIABLE = "AWS_REQUEST_CHECKSUM_CALCULATION"
"""Environment variable of AWS's clients: ``when_required`` sends no checksum with a file, which
servers without S3's newer headers refuse."""

_KEY_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "HOME",
)
_ROLE_VARIABLES = _KEY_VARIABLES[-4:-1]
_VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")

_settings: list[str] = []
"""The last decision of this process; empty before S3 was used."""


def s3_options() -> dict[str, Any]:
    """Returns the options with which s3fs is opened: anonymous where there are no keys."""
    setting = os.environ.get(ANONYMOUS_VARIABLE)
    if setting not in ("0", "1"):
        variables = tuple(os.environ.get(name) for name in _KEY_VARIABLES)
        setting = "0" if _has_keys(variables) else "1"
    _settings[:] = [setting]
    return {"anon": True} if setting == "1" else {}


def anonymous_setting() -> str | None:
    """Returns what :data:`ANONYMOUS_VARIABLE` has to be in workers; None if S3 was not used."""
    return _settings[0] if _settings else None


@lru_cache(maxsize=8)
def _has_keys(variables: tuple[str | None, ...]) -> bool:
    """Whether the standard chain of AWS has keys, or may have them in a moment.

    Args:
        variables: values of the variables that decide; they make the cached answer theirs.
    """
    if any(os.environ.get(name) for name in _ROLE_VARIABLES) or _is_on_aws():
        return True  # from a service that may be unavailable for a while
    import botocore.session

    # Elsewhere nobody answers at the address of that service, and it is not asked.
    session = botocore.session.Session()
    resolver = session.get_component("credential_provider")
    resolver.remove("iam-role")
    return session.get_credentials() is not None


def _is_on_aws() -> bool:
    """Whether this is a machine of AWS, which may have a role."""
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    try:
        return _VENDOR.read_text("ascii").startswith("Amazon")
    except (OSError, UnicodeDecodeError):
        return False
