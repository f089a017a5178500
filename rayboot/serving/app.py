"""The HTTP API and the page, as an ASGI app that knows nothing of Ray.

What reconstructs is a :class:`Backend`: replicas of Ray Serve, or an engine in this process.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import FastAPI, File, Query, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.types import ASGIApp

from rayboot import __version__
from rayboot.cluster.failures import find_rayboot_error
from rayboot.geometry.physical_size import MeshUnit
from rayboot.serving.access import AccessRules
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.gate import RECONSTRUCT_PATH, Gate
from rayboot.serving.metrics import ServiceMetrics
from rayboot.serving.page import PageSettings, build_page
from rayboot.serving.problems import PROBLEM_SCHEMA, PROBLEM_TYPE, Problem, describe_error
from rayboot.serving.reconstruction_request import (
    MeshFormat,
    Output,
    ReconstructionRequest,
    Reply,
    Which,
)
from rayboot.serving.serve_config import ServeConfig

__all__ = ["MODEL_HEADER", "Backend", "EngineBackend", "make_app"]

_LOG = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

MODEL_HEADER = "Rayboot-Model"
"""Header of every result: the model with its version."""

FACES_HEADER = "Rayboot-Faces"
"""Header of every result: number of faces in the photo."""


class Backend(Protocol):
    """What reconstructs the photos of requests."""

    async def reconstruct(self, request: ReconstructionRequest) -> Reply:
        """Reconstructs a photo; raises a RaybootError, possibly wrapped, or a Problem."""

    async def models(self) -> dict[Which, str]:
        """Returns the names of the models with their versions."""


class EngineBackend:
    """An engine in threads of this process."""

    def __init__(self, engine: ReconstructionEngine) -> None:
        self._engine = engine

    async def reconstruct(self, request: ReconstructionRequest) -> Reply:
        """Reconstructs a photo."""
        return await asyncio.to_thread(self._engine.reconstruct, request)

    async def models(self) -> dict[Which, str]:
        """Returns the names of the models with their versions."""
        return self._engine.models()


def make_app(config: ServeConfig, backend: Backend, token_digest: str | None = None) -> ASGIApp:
    """Returns the app with all its layers.

    Args:
        config: limits and address.
        backend: what reconstructs.
        token_digest: digest of the token that clients must send; None requires none.
    """
    # Uploads stay in memory: by default parts above 1 MB are written to a temporary file.
    MultiPartParser.spool_max_size = config.max_bytes + 1
    metrics = ServiceMetrics()
    app = FastAPI(
        title="rayboot",
        version=__version__,
        summary="3D faces from single photos.",
        # Their pages load scripts from the network.
        docs_url=None,
        redoc_url=None,
    )
    _add_problems(app, metrics)
    _add_reconstruction(app, backend, metrics)
    _add_service_pages(app, config, backend, metrics, token_digest is not None)
    layers: ASGIApp = Gate(app, config, AccessRules(config, token_digest), metrics)
    if config.allowed_origins:
        # Outermost: browsers ask for permission without the token.
        layers = CORSMiddleware(
            layers,
            allow_origins=config.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization"],
            expose_headers=[MODEL_HEADER, FACES_HEADER, "Retry-After"],
        )
    return layers


def _add_problems(app: FastAPI, metrics: ServiceMetrics) -> None:
    @app.exception_handler(Problem)
    async def answer(request: Request, problem: Problem) -> Response:
        if request.url.path == RECONSTRUCT_PATH:
            metrics.count_problem(problem.stage, problem.reason)
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def refuse_values(request: Request, error: RequestValidationError) -> Response:
        sentences = [
            f"{'.'.join(map(str, item['loc'][1:])) or 'body'}: {item['msg']}"
            for item in error.errors()
        ]
        return await answer(request, Problem(400, "request", "invalid", "; ".join(sentences)))

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        problem = Problem(error.status_code, "request", "invalid", str(error.detail))
        return await answer(request, problem)


_PROBLEM = {"content": {PROBLEM_TYPE: {"schema": PROBLEM_SCHEMA}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The face in the form that was asked for.",
        "headers": {
            MODEL_HEADER: {"schema": {"type": "string"}, "description": "The model's version."},
            FACES_HEADER: {"schema": {"type": "integer"}, "description": "Faces in the photo."},
        },
        "content": {
            "model/gltf-binary": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": {"type": "object"}},
        },
    },
    400: {"description": "The request is not valid.", **_PROBLEM},
    401: {"description": "The token is missing or wrong.", **_PROBLEM},
    403: {"description": "Another site's page, or an unknown host name.", **_PROBLEM},
    413: {"description": "The photo has too many bytes or pixels.", **_PROBLEM},
    415: {"description": "The file is no photo.", **_PROBLEM},
    422: {"description": "The photo shows no face that can be reconstructed.", **_PROBLEM},
    429: {"description": "Too many requests of this client; see Retry-After.", **_PROBLEM},
    500: {"description": "The service failed.", **_PROBLEM},
    503: {"description": "Too many requests at one time; see Retry-After.", **_PROBLEM},
    504: {"description": "The request took too long.", **_PROBLEM},
}


def _add_reconstruction(app: FastAPI, backend: Backend, metrics: ServiceMetrics) -> None:
    @app.post(
        RECONSTRUCT_PATH,
        summary="Reconstruct the faces of a photo",
        response_class=Response,
        responses=_RESPONSES,
    )
    async def reconstruct(
        photo: Annotated[UploadFile, File(description="JPEG, PNG, WebP, TIFF, ...; HEIC if the "
                                          "service has the extra `heic`.")],
        faces: Annotated[
            str,
            Query(
                pattern="^(largest|all|[1-9][0-9]{0,3})$",
                description="`largest`, `all` (a ZIP archive, or all in the JSON), or the number "
                "of a face, the largest being 1.",
            ),
        ] = "largest",
        output: Annotated[
            Output,
            Query(description="`glb` and `ply`: mesh with coloured vertices; `obj`: with the "
                  "photo as texture, a ZIP archive of OBJ, MTL and PNG; `volume`: occupancy "
                  "(D, S, S) as NPZ; `json`: boxes of all faces, landmarks and pose of the "
                  "chosen."),
        ] = "glb",
        mesh: Annotated[
            MeshFormat, Query(description="With `json`: `glb` adds each mesh in base64.")
        ] = "none",
        model: Annotated[
            Which, Query(description="The served model, or the one to compare with.")
        ] = "served",
        unit: Annotated[
            MeshUnit,
            Query(description="Unit of meshes: `metre`, by the mean size of people's faces, or "
                  "`pixel` of the crop."),
        ] = "metre",
    ) -> Response:  # fmt: skip
        request = ReconstructionRequest(await photo.read(), faces, output, mesh, model, unit)
        reply = await _translate_errors(backend.reconstruct(request))
        metrics.count_reply(reply.model)
        headers = {
            MODEL_HEADER: reply.model,
            FACES_HEADER: str(reply.num_faces),
            "Content-Disposition": f'attachment; filename="{reply.file_name}"',
            "Cache-Control": "no-store",
        }
        return Response(reply.body, headers=headers, media_type=reply.media_type)


async def _translate_errors(result: Awaitable[ResultT]) -> ResultT:
    """Awaits a result of the backend; raises its errors as problems."""
    try:
        return await result
    except Problem:
        raise
    except Exception as error:  # replicas wrap errors in classes of Ray
        known = find_rayboot_error(error)
        if known is not None:
            raise describe_error(known) from error
        _LOG.exception("a request failed")
        raise Problem(500, "service", "failed", "the service failed; its log says why") from error


def _add_service_pages(
    app: FastAPI,
    config: ServeConfig,
    backend: Backend,
    metrics: ServiceMetrics,
    requires_token: bool,
) -> None:
    page = build_page(PageSettings(config.max_bytes, requires_token))

    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        headers = {"Content-Security-Policy": page.policy, "Cache-Control": "no-cache"}
        return Response(page.html, headers=headers, media_type="text/html; charset=utf-8")

    @app.get("/v1/models", summary="The served models with their versions")
    async def models() -> dict[str, str]:
        return {
            str(which): name for which, name in (await _translate_errors(backend.models())).items()
        }

    @app.get("/healthz", summary="Whether the service runs")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Whether a photo would be reconstructed now", response_model=None)
    async def ready() -> Response | dict[str, str]:
        try:
            models = await _translate_errors(backend.models())
        except Problem as problem:
            return Problem(503, "service", "not-ready", problem.detail, 5).response()
        return {"status": "ready", "model": models["served"]}

    @app.get("/metrics", summary="Metrics for Prometheus")
    async def show_metrics() -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")
