"""What `rayboot serve` serves, on which resources, and within which limits."""

import ipaddress

from pydantic import Field, PositiveFloat, PositiveInt

from rayboot.config import FrozenConfig, ModelName
from rayboot.models.network_config import InferenceConfig

__all__ = ["TOKEN_VARIABLE", "Autoscaling", "ServeConfig", "is_loopback"]

TOKEN_VARIABLE = "RAYBOOT_SERVE_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the bearer token; required unless the service is bound to loopback."""


class Autoscaling(FrozenConfig):
    """How many replicas there are, depending on the number of requests."""

    min_replicas: int = Field(1, ge=0)
    """Number of replicas without requests."""
    max_replicas: PositiveInt = 4
    """Largest number of replicas."""
    target_ongoing_requests: PositiveFloat = 2.0
    """Number of requests in work per replica that Ray Serve aims at."""


class ServeConfig(FrozenConfig):
    """The config of the HTTP service; every field has a default for this machine."""

    model: ModelName | None = None
    """Model to serve. An alias (``models:/NAME@ALIAS``) is followed while the service runs. None
    serves and follows the registry's champion, and the shipped ``builtin:base`` until there is
    one."""
    registered_name: str = "rayboot-vrn"
    """Name of the registered model whose champion is served where ``model`` is None."""
    compare_with: ModelName | None = None
    """Second model that the page can show beside the first, such as ``models:/NAME@previous``.
    None takes the registry's previous champion where the champion is served."""
    tracking_uri: str | None = None
    """URI of the MLflow store; None is MLflow's own setting. ``MLFLOW_REGISTRY_URI`` names a
    registry apart from it."""
    model_poll_s: PositiveFloat = 10.0
    """Seconds between two looks at an alias."""

    host: str = "127.0.0.1"
    """Address to bind to. Any but loopback requires a token."""
    port: int = Field(8000, ge=1, le=65535)
    """Port to bind to."""
    allowed_hosts: tuple[str, ...] = ()
    """Further host names by which a service on loopback may be addressed, such as that of a
    reverse proxy. Others are refused, because a hostile page could point its own name here."""
    allowed_origins: tuple[str, ...] = ()
    """Origins (``https://NAME``) whose pages may use the API from a browser; by default only the
    service's own page."""

    replicas: PositiveInt | Autoscaling = 1
    """Number of processes that each hold the network."""
    num_cpus: PositiveFloat = 1.0
    """CPUs of a replica, which are the threads of its network."""
    num_gpus: float = Field(0.0, ge=0)
    """GPUs of a replica; a fraction lets several replicas share one."""
    batch_size: PositiveInt = 1
    """Number of faces of a forward pass. More than one pays on a GPU only: batches are padded, so
    that a face's result does not depend on the others."""
    batch_wait_s: float = Field(0.01, ge=0)
    """Time that a forward pass waits for further faces."""
    inference: InferenceConfig = InferenceConfig()
    """Settings of the network."""

    max_photo_mb: PositiveFloat = 25.0
    """Largest request, MB (10^6 bytes)."""
    max_megapixels: PositiveFloat = 64.0
    """Largest photo in millions of pixels; decoding takes 10 bytes of memory for each."""
    max_faces: PositiveInt = 20
    """Largest number of faces of one photo that are reconstructed."""
    timeout_s: PositiveFloat = 60.0
    """Time for one request, upload included."""
    max_in_flight: PositiveInt = 32
    """Number of requests at one time; the next one gets status 503."""
    requests_per_minute: PositiveInt | None = 600
    """Number of reconstructions per minute for one client address, above which the status is 429.
    None sets no limit."""

    @property
    def max_bytes(self) -> int:
        """Largest request in bytes."""
        return int(self.max_photo_mb * 1e6)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    name = host.strip("[]").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:  # a name, which may begin with 127
        return name == "localhost"
