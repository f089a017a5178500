"""The API without Ray: outputs, errors, limits, and its description."""

import asyncio
import base64
import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx2
import jsonschema
import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from starlette.testclient import TestClient

from benchmarks.serve_load import mutate
from rayboot.data.images import decode_photo, encode_image
from rayboot.data.mesh_files import decode_mesh
from rayboot.errors import BusyError, DegenerateInputError, FaceRejectedError, RequestError
from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.crop import apply_affine, invert_affine
from rayboot.geometry.physical_size import metres_per_pixel
from rayboot.serving.access import digest_token
from rayboot.serving.app import EngineBackend, make_app
from rayboot.serving.engine import ReconstructionEngine
from rayboot.serving.problems import PROBLEM_SCHEMA, PROBLEM_TYPE
from rayboot.serving.reconstruction_request import ReconstructionRequest, Reply, Which
from rayboot.serving.serve_config import ServeConfig

ADDRESS = "http://127.0.0.1:8000"
PATH = "/v1/reconstruct"


class StubBackend:
    """A backend that raises an error, or that waits until it is released."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.release = asyncio.Event()

    async def reconstruct(self, request: ReconstructionRequest) -> Reply:
        if self._error is not None:
            raise self._error
        await self.release.wait()
        return Reply(request.photo, "model/gltf-binary", "face.glb", "builtin:compact", 1)

    async def models(self) -> dict[Which, str]:
        if self._error is not None:
            raise self._error
        return {"served": "builtin:compact"}


@pytest.fixture(scope="module")
def client(engine: ReconstructionEngine) -> TestClient:
    return TestClient(make_app(ServeConfig(), EngineBackend(engine)), ADDRESS)


@pytest.fixture(scope="module")
def post(client: TestClient) -> Callable[..., httpx2.Response]:
    return lambda photo, **query: client.post(PATH, files={"photo": ("a.jpg", photo)}, params=query)


def require_problem(response: httpx2.Response, status: int, reason: str) -> dict[str, Any]:
    """Checks an error against the description of the API; returns its body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM_TYPE
    body = response.json()
    jsonschema.validate(body, PROBLEM_SCHEMA)
    assert (body["status"], body["reason"]) == (status, reason)
    return body


def test_a_photo_becomes_a_coloured_glb(post: Any, portrait: bytes) -> None:
    response = post(portrait)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "model/gltf-binary"
    assert response.headers["rayboot-model"] == "builtin:compact"
    assert response.headers["rayboot-faces"] == "1"
    assert response.headers["cache-control"] == "no-store"
    mesh = decode_mesh(response.content, ".glb")
    assert len(mesh.vertices) > 5000
    # Of a head in the middle of its crop of 96 px.
    in_pixels = decode_mesh(post(portrait, unit="pixel").content, ".glb").vertices
    assert np.abs(in_pixels).max() < 60 and np.ptp(in_pixels[:, 0]) > 20
    assert np.abs(in_pixels * metres_per_pixel(96) - mesh.vertices).max() < 1e-6
    assert b'"unit":"metre"' in response.content


def test_all_mesh_files_hold_the_same_shape(post: Any, portrait: bytes) -> None:
    glb = decode_mesh(post(portrait, output="glb").content, ".glb")
    ply = decode_mesh(post(portrait, output="ply").content, ".ply")
    archive = zipfile.ZipFile(io.BytesIO(post(portrait, output="obj").content))
    assert archive.namelist() == ["face-1.obj", "face-1.mtl", "face-1-texture.png"]
    obj = decode_mesh(archive.read("face-1.obj"), ".obj")
    for vertices, faces in ((ply.vertices, ply.faces), (obj.vertices, obj.faces)):
        assert np.allclose(vertices, glb.vertices, atol=1e-6)
        assert np.array_equal(faces, glb.faces)


def test_an_obj_has_the_photo_in_its_own_resolution_as_texture(
    post: Any, portrait: bytes, tmp_path: Path
) -> None:
    photo = decode_photo(portrait)
    portrait = encode_image(cv2.resize(photo, None, fx=3, fy=3), "jpeg")
    response = post(portrait, output="obj")
    assert response.headers["content-type"] == "application/zip"
    zipfile.ZipFile(io.BytesIO(response.content)).extractall(tmp_path)
    obj = trimesh.load_mesh(tmp_path / "face-1.obj", process=False)
    image = np.asarray(obj.visual.material.image)
    assert image.shape[1] > 192 and image.std() > 3
    ply = trimesh.load_mesh(
        io.BytesIO(post(portrait, output="ply").content), file_type="ply", process=False
    )
    # trimesh repeats vertices where the texture has a seam.
    _, nearest = cKDTree(obj.vertices).query(ply.vertices)
    colors = np.asarray(obj.visual.to_color().vertex_colors)[nearest, :3].astype(int)
    difference = np.abs(colors - ply.visual.vertex_colors[:, :3]).max(axis=1)
    assert np.median(difference) <= 4


def test_the_volume_is_the_networks_occupancy(
    post: Any, portrait: bytes, engine: ReconstructionEngine
) -> None:
    arrays = np.load(io.BytesIO(post(portrait, output="volume").content))
    prepared = engine.prepare(ReconstructionRequest(portrait))
    (expected,) = engine.predict([(prepared.model, prepared.found.chosen[0].crop)])
    assert arrays["occupancy"].shape == (112, 96, 96)
    assert np.abs(arrays["occupancy"].astype(np.float32) - expected).max() < 1e-3
    assert np.array_equal(arrays["crop_from_photo"], prepared.found.chosen[0].crop_from_photo)


def test_json_tells_faces_landmarks_and_pose(post: Any, pair: bytes) -> None:
    document = post(pair, output="json", faces="all", mesh="glb").json()
    photo = decode_photo(pair)
    assert document["photo"] == {"width": photo.shape[1], "height": photo.shape[0]}
    assert [detection["face"] for detection in document["detections"]] == [1, 2]
    large, small = (detection["box"] for detection in document["detections"])
    assert large[2] > 1.5 * small[2] and large[0] + large[2] < small[0]
    for face, (left, top, width, height) in zip(document["faces"], (large, small), strict=True):
        points = np.array(face["landmarks"]["photo"])
        assert points.shape == (68, 2)
        # Nose and mouth are inside of the box of the face.
        inner = points[27:68]
        assert (inner > [left, top]).all() and (inner < [left + width, top + height]).all()
        mesh = decode_mesh(base64.b64decode(face["glb"]), ".glb")
        landmarks = np.array(face["landmarks"]["mesh"])
        assert landmarks.shape == (68, 3)
        # They are on the mesh.
        distances = np.linalg.norm(mesh.vertices[:, None] - landmarks, axis=2).min(axis=0)
        assert distances.max() < 1e-5
        # The mesh leads back to the photo.
        size, affine = face["crop_size"], np.array(face["crop_from_photo"])
        in_crop = pixel_from_crop(landmarks / face["units_per_pixel"], size, size)
        assert np.abs(apply_affine(invert_affine(affine), in_crop) - points).max() < 0.1
        assert abs(face["pose"]["yaw_deg"]) < 90 and 0 <= face["pose"]["confidence"] <= 1
        assert np.linalg.norm(face["pose"]["gaze"]) == pytest.approx(1, abs=1e-3)
        assert mesh.faces.max() > 1000
    assert "glb" not in post(pair, output="json").json()["faces"][0]


def test_the_faces_of_a_photo_can_be_chosen(post: Any, pair: bytes) -> None:
    archive = zipfile.ZipFile(io.BytesIO(post(pair, faces="all").content))
    assert archive.namelist() == ["face-1.glb", "face-2.glb"]
    second = post(pair, faces="2")
    assert second.content == archive.read("face-2.glb")
    assert second.headers["rayboot-faces"] == "2"
    assert post(pair, faces="largest").content == archive.read("face-1.glb")
    body = require_problem(post(pair, faces="3"), 400, "no-such-face")
    assert "the photo has 2" in body["detail"]


def test_a_photo_gives_the_same_bytes_twice(post: Any, portrait: bytes) -> None:
    assert post(portrait).content == post(portrait).content


def test_the_second_model_predicts_another_shape(post: Any, portrait: bytes) -> None:
    served, other = post(portrait), post(portrait, model="comparison")
    assert other.headers["rayboot-model"] == "builtin:base"
    assert served.content != other.content


@pytest.mark.parametrize(
    ("payload", "status", "stage", "reason"),
    [
        (b"", 400, "read", "empty"),
        (b"%PDF-1.7 not a photo", 415, "read", "undecodable"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), 415, "read", "undecodable"),
    ],
)
def test_a_file_that_is_no_photo_is_refused(
    post: Any, payload: bytes, status: int, stage: str, reason: str
) -> None:
    assert require_problem(post(payload), status, reason)["stage"] == stage


def test_photos_that_cannot_be_reconstructed_are_refused(
    post: Any, portrait: bytes, landscape: bytes, wide_header: bytes
) -> None:
    body = require_problem(post(landscape), 422, "no-face")
    assert body["stage"] == "landmarks" and "landmark file" not in body["detail"]
    require_problem(post(portrait[: len(portrait) // 2]), 422, "truncated")
    require_problem(post(wide_header), 413, "too-large")
    tiny = encode_image(np.zeros((8, 8, 3), np.uint8), "png")
    require_problem(post(tiny), 422, "too-small")


@pytest.mark.parametrize("output", ["stl", "", "GLB"])
def test_an_unknown_output_is_refused(post: Any, portrait: bytes, output: str) -> None:
    body = require_problem(post(portrait, output=output), 400, "invalid")
    assert "output" in body["detail"] and "glb" in body["detail"]


def test_an_unknown_unit_is_refused(post: Any, portrait: bytes) -> None:
    assert "metre" in require_problem(post(portrait, unit="mm"), 400, "invalid")["detail"]


@pytest.mark.parametrize("faces", ["0", "-1", "some", "1.5", "99999"])
def test_unknown_faces_are_refused(post: Any, portrait: bytes, faces: str) -> None:
    require_problem(post(portrait, faces=faces), 400, "invalid")


def test_a_request_without_a_photo_is_refused(client: TestClient, portrait: bytes) -> None:
    require_problem(client.post(PATH), 400, "invalid")
    require_problem(client.post(PATH, content=portrait), 400, "invalid")
    require_problem(client.post(PATH, data={"photo": "text"}), 400, "invalid")
    malformed = {"content-type": "multipart/form-data; boundary=x"}
    require_problem(client.post(PATH, content=b"--y\r\n", headers=malformed), 400, "invalid")


def test_other_paths_and_methods_are_problems_too(client: TestClient) -> None:
    require_problem(client.get("/v2/none"), 404, "invalid")
    require_problem(client.get(PATH), 405, "invalid")
    require_problem(client.post("/healthz"), 405, "invalid")


def test_a_request_of_40_mb_is_refused(client: TestClient) -> None:
    body = require_problem(
        client.post(PATH, files={"photo": ("a.jpg", bytes(40_000_000))}), 413, "too-large"
    )
    assert "25 MB" in body["detail"]


def test_a_large_request_without_its_length_is_refused(client: TestClient) -> None:
    parts = (bytes(1_000_000) for _ in range(40))
    require_problem(client.post(PATH, content=parts), 413, "too-large")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (FaceRejectedError("landmarks", "face-too-small", "10 px"), 422, "face-too-small"),
        (DegenerateInputError("empty"), 422, "no-shape"),
        (RequestError("no second model"), 400, "invalid"),
        (BusyError("another"), 503, "busy"),
        (ValueError("a bug, with /secret/path"), 500, "failed"),
    ],
)
def test_errors_of_the_backend_are_problems(error: Exception, status: int, reason: str) -> None:
    client = TestClient(make_app(ServeConfig(), StubBackend(error)), ADDRESS)
    response = client.post(PATH, files={"photo": ("a.jpg", b"x")})
    assert "secret" not in require_problem(response, status, reason)["detail"]
    # Whatever happens to a photo, the service itself is well, and not ready.
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_a_request_that_takes_too_long_ends() -> None:
    app = make_app(ServeConfig(timeout_s=0.2), StubBackend())
    client = TestClient(app, ADDRESS)
    require_problem(client.post(PATH, files={"photo": ("a.jpg", b"x")}), 504, "timeout")


async def _post_at_once(config: ServeConfig, count: int) -> list[httpx2.Response]:
    backend = StubBackend()
    transport = httpx2.ASGITransport(make_app(config, backend))
    async with httpx2.AsyncClient(transport=transport, base_url=ADDRESS) as client:
        requests = [
            asyncio.create_task(client.post(PATH, files={"photo": ("a.jpg", b"x")}))
            for _ in range(count)
        ]
        await asyncio.sleep(0.3)
        backend.release.set()
        responses = list(await asyncio.gather(*requests))
        # The service takes photos again.
        responses.append(await client.post(PATH, files={"photo": ("a.jpg", b"x")}))
        return responses


def test_too_many_requests_at_one_time_are_refused() -> None:
    *responses, last = asyncio.run(_post_at_once(ServeConfig(max_in_flight=3), 5))
    refused = [response for response in responses if response.status_code != 200]
    assert len(refused) == 2 and last.status_code == 200
    for response in refused:
        require_problem(response, 503, "busy")
        assert int(response.headers["retry-after"]) >= 1


def test_too_many_requests_in_a_minute_are_refused() -> None:
    responses = asyncio.run(_post_at_once(ServeConfig(requests_per_minute=4), 4))
    assert [response.status_code for response in responses] == [200] * 4 + [429]
    require_problem(responses[-1], 429, "too-many-requests")
    assert 1 <= int(responses[-1].headers["retry-after"]) <= 16


def test_a_token_is_required_for_all_but_the_page(engine: ReconstructionEngine) -> None:
    token = "0123456789abcdef0123"
    app = make_app(ServeConfig(host="0.0.0.0"), EngineBackend(engine), digest_token(token))
    client = TestClient(app, "http://faces.example:8000")
    for path in ("/", "/healthz", "/readyz", "/openapi.json"):
        assert client.get(path).status_code == 200
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {token}"}):
        for response in (
            client.post(PATH, files={"photo": ("a.jpg", b"x")}, headers=headers),
            client.get("/metrics", headers=headers),
            client.get("/v1/models", headers=headers),
        ):
            require_problem(response, 401, "no-token")
            assert response.headers["www-authenticate"] == "Bearer"
    right = {"authorization": f"Bearer {token}"}
    assert client.get("/v1/models", headers=right).json() == engine.models()
    assert client.get("/metrics", headers=right).status_code == 200


def test_other_origins_are_refused_unless_allowed(engine: ReconstructionEngine) -> None:
    backend, site = EngineBackend(engine), "https://site.example"
    client = TestClient(make_app(ServeConfig(), backend), ADDRESS)
    require_problem(client.get("/v1/models", headers={"origin": site}), 403, "foreign-origin")
    own = client.get("/v1/models", headers={"origin": ADDRESS})
    assert own.status_code == 200 and "access-control-allow-origin" not in own.headers
    allowing = TestClient(make_app(ServeConfig(allowed_origins=(site,)), backend), ADDRESS)
    response = allowing.get("/v1/models", headers={"origin": site})
    assert response.headers["access-control-allow-origin"] == site
    preflight = {"origin": site, "access-control-request-method": "POST"}
    assert allowing.options(PATH, headers=preflight).status_code == 200


def test_a_service_on_loopback_has_no_other_name(engine: ReconstructionEngine) -> None:
    client = TestClient(make_app(ServeConfig(), EngineBackend(engine)), "http://evil.example")
    require_problem(client.get("/v1/models"), 403, "unknown-host")
    config = ServeConfig(allowed_hosts=("evil.example",))
    proxied = TestClient(make_app(config, EngineBackend(engine)), "http://evil.example")
    assert proxied.get("/v1/models").status_code == 200


def test_the_description_names_every_status_and_parameter(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    operation = description["paths"][PATH]["post"]
    assert {item["name"] for item in operation["parameters"]} == {
        "faces", "output", "mesh", "model", "unit",
    }  # fmt: skip
    assert set(operation["responses"]) == {
        "200", "400", "401", "403", "413", "415", "422", "429", "500", "503", "504",
    }  # fmt: skip
    assert operation["responses"]["413"]["content"][PROBLEM_TYPE]["schema"] == PROBLEM_SCHEMA
    assert "Rayboot-Model" in operation["responses"]["200"]["headers"]
    assert {"/v1/models", "/healthz", "/readyz", "/metrics"} < set(description["paths"])


def test_metrics_count_what_happened(
    engine: ReconstructionEngine, portrait: bytes, landscape: bytes
) -> None:
    client = TestClient(make_app(ServeConfig(), EngineBackend(engine)), ADDRESS)
    for photo in (portrait, landscape, b"no photo"):
        client.post(PATH, files={"photo": ("a.jpg", photo)})
    client.post(PATH, files={"photo": ("a.jpg", bytes(26_000_000))})
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'rayboot_serve_requests_total{status="200"} 1.0',
        'rayboot_serve_requests_total{status="413"} 1.0',
        'rayboot_serve_problems_total{reason="no-face",stage="landmarks"} 1.0',
        'rayboot_serve_problems_total{reason="undecodable",stage="read"} 1.0',
        'rayboot_serve_problems_total{reason="too-large",stage="read"} 1.0',
        'rayboot_serve_replies_total{model="builtin:compact"} 1.0',
        "rayboot_serve_seconds_count 4.0",
        "rayboot_serve_in_flight 0.0",
    ):
        assert line in lines


def test_the_page_allows_no_scripts_but_its_own(client: TestClient) -> None:
    response = client.get("/")
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert policy.count("'sha256-") == response.text.count("<script>") == 3
    assert len(response.content) < 200_000
    assert "http:" not in response.text and "https:" not in response.text


# Starlette leaves the parts of a damaged form, which are in memory, to the garbage collector.
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile")
def test_mutated_requests_are_answered(client: TestClient, portrait: bytes) -> None:
    request = client.build_request("POST", PATH, files={"photo": ("a.jpg", portrait)})
    body = request.read()
    statuses = set()
    for seed in range(200):
        mutated = mutate(np.random.default_rng([seed, 7]), body)
        headers = {"content-type": request.headers["content-type"]}
        response = client.post(PATH, content=mutated, headers=headers)
        statuses.add(response.status_code)
        if response.status_code != 200:
            jsonschema.validate(response.json(), PROBLEM_SCHEMA)
    assert statuses <= {200, 400, 413, 415, 422}, statuses
    assert {200, 400, 422} <= statuses


def test_requests_in_several_threads_do_not_mix(
    engine: ReconstructionEngine, portraits: list[bytes]
) -> None:
    expected = [engine.reconstruct(ReconstructionRequest(photo)).body for photo in portraits]
    results: dict[int, list[bytes]] = {}

    def work(number: int) -> None:
        order = [(number + step) % len(portraits) for step in range(len(portraits))]
        bodies = {i: engine.reconstruct(ReconstructionRequest(portraits[i])).body for i in order}
        results[number] = [bodies[i] for i in range(len(portraits))]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(bodies == expected for bodies in results.values()) and len(results) == 3


def test_json_documents_are_strict(post: Any, portrait: bytes) -> None:
    text = post(portrait, output="json").text

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    json.loads(text, parse_constant=refuse)
