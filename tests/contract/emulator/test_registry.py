"""The registry behind ECR, as Docker speaks to it; no Docker is needed."""

import base64
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import ACCOUNT, Server, allow

REPOSITORY = "team/own"
ARN = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{REPOSITORY}"
LAYER = b"a layer"
CONFIG = b"{}"
LOG_IN = allow("ecr:GetAuthorizationToken", on="*")
PUSH = allow(
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
    on=ARN,
)
PULL = allow("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", on=ARN)


@pytest.fixture(scope="module", autouse=True)
def repository(server: Server) -> Iterator[dict[str, Any]]:
    ecr = server.client("ecr")
    made = ecr.create_repository(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
    yield made["repository"]
    ecr.delete_repository(repositoryName=REPOSITORY, force=True)


@pytest.fixture
def logged_in(server: Server, request: pytest.FixtureRequest) -> Any:
    name = "ecr-" + request.node.name.replace("_", "-")[-40:]
    server.role(name, "", LOG_IN, trust=f"arn:aws:iam::{ACCOUNT}:root")

    def as_role(*statements: dict[str, Any]) -> str:
        server.allow(name, LOG_IN, *statements)
        data = server.assumed("ecr", name).get_authorization_token()["authorizationData"][0]
        assert data["proxyEndpoint"] == server.url
        return str(data["authorizationToken"])

    return as_role


def _call(
    server: Server, method: str, path: str, token: str = "", body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    url = path if path.startswith("http") else f"{server.url}/v2/{path}"
    headers = {"Authorization": f"Basic {token}"} if token else {}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _upload(server: Server, token: str, content: bytes, claimed: str = "") -> int:
    status, headers, _ = _call(server, "POST", f"{REPOSITORY}/blobs/uploads/", token, b"")
    if status != 202:
        return status
    place = server.url + headers["location"]
    half = len(content) // 2
    assert _call(server, "PATCH", place, token, content[:half])[0] == 202
    target = f"{place}?digest={claimed or _digest(content)}"
    return _call(server, "PUT", target, token, content[half:])[0]


def _manifest(layer: bytes = LAYER) -> bytes:
    document = {
        "schemaVersion": 2,
        "config": {"digest": _digest(CONFIG)},
        "layers": [{"digest": _digest(layer)}],
    }
    return json.dumps(document).encode()


def _push(server: Server, token: str, tag: str, layer: bytes = LAYER) -> tuple[int, bytes]:
    for content in (CONFIG, layer):
        assert _upload(server, token, content) == 201
    path = f"{REPOSITORY}/manifests/{tag}"
    status, _, body = _call(server, "PUT", path, token, _manifest(layer))
    return status, body


def test_the_repository_is_named_by_where_docker_reaches_it(
    server: Server, repository: dict[str, Any]
) -> None:
    assert repository["repositoryUri"] == f"127.0.0.1:{server.port}/{REPOSITORY}"
    found = server.client("ecr").describe_repositories(repositoryNames=[REPOSITORY])
    assert found["repositories"][0]["repositoryUri"] == repository["repositoryUri"]


def test_what_is_pushed_is_shown_by_ecr_and_pulled_again(server: Server, logged_in: Any) -> None:
    token = logged_in(PUSH, PULL)
    assert _push(server, token, "1")[0] == 201
    images = server.client("ecr").describe_images(repositoryName=REPOSITORY)["imageDetails"]
    assert [image["imageTags"] for image in images] == [["1"]]
    assert _call(server, "GET", f"{REPOSITORY}/manifests/1", token)[2] == _manifest()
    assert _call(server, "GET", f"{REPOSITORY}/blobs/{_digest(LAYER)}", token)[2] == LAYER
    status, headers, body = _call(server, "HEAD", f"{REPOSITORY}/blobs/{_digest(LAYER)}", token)
    assert (status, headers["content-length"], body) == (200, str(len(LAYER)), b"")


def test_a_tag_that_is_immutable_keeps_its_image(server: Server, logged_in: Any) -> None:
    token = logged_in(PUSH, PULL)
    assert _push(server, token, "fixed")[0] == 201
    status, body = _push(server, token, "fixed", b"another layer")
    assert status == 400
    assert b"cannot be overwritten because the tag is immutable" in body
    assert _call(server, "GET", f"{REPOSITORY}/manifests/fixed", token)[2] == _manifest()


def test_nobody_gets_in_without_a_password_or_with_a_forged_one(
    server: Server, logged_in: Any
) -> None:
    status, headers, _ = _call(server, "GET", "")
    assert (status, headers["www-authenticate"].split()[0]) == (401, "Basic")
    user, _, password = base64.b64decode(logged_in()).decode().partition(":")
    content, _, signature = password.partition(".")
    other = base64.urlsafe_b64encode(json.dumps(["test", 9_999_999_999]).encode()).decode()
    for forged in (f"{other}.{signature}", content, f"{content}.0", "x"):
        token = base64.b64encode(f"{user}:{forged}".encode()).decode()
        assert _call(server, "GET", "", token)[0] == 401
    assert _call(server, "GET", "", logged_in())[0] == 200


def test_each_request_needs_the_permission_that_ecr_asks_for(
    server: Server, logged_in: Any
) -> None:
    assert _push(server, logged_in(PUSH), "allowed")[0] == 201
    for method, path, action in (
        ("POST", "blobs/uploads/", "InitiateLayerUpload"),
        ("HEAD", f"blobs/{_digest(LAYER)}", "BatchCheckLayerAvailability"),
        ("GET", f"blobs/{_digest(LAYER)}", "GetDownloadUrlForLayer"),
        ("GET", "manifests/allowed", "BatchGetImage"),
        ("PUT", "manifests/other", "PutImage"),
        ("GET", "tags/list", "ListImages"),
    ):
        status, _, body = _call(server, method, f"{REPOSITORY}/{path}", logged_in())
        assert status == 403, path
        assert method == "HEAD" or f"ecr:{action} on resource: {ARN}".encode() in body


def test_content_that_is_not_what_it_claims_is_refused(server: Server, logged_in: Any) -> None:
    token = logged_in(PUSH, PULL)
    wrong = _digest(b"something else")
    assert _upload(server, token, b"content", wrong) == 400
    assert _upload(server, token, b"content", "sha256:../../secret") == 400
    assert _call(server, "GET", f"{REPOSITORY}/blobs/{wrong}", token)[0] == 404
    path = f"{REPOSITORY}/manifests/broken"
    for body in (b"no manifest", _manifest(b"a layer that nobody pushed")):
        assert _call(server, "PUT", path, token, body)[0] == 400


def test_a_repository_that_is_not_there_is_not_made_by_a_push(
    server: Server, logged_in: Any
) -> None:
    everywhere = allow("ecr:InitiateLayerUpload", on="*")
    status, _, body = _call(server, "POST", "no/such/blobs/uploads/", logged_in(everywhere), b"")
    assert status == 404
    assert b"NAME_UNKNOWN" in body
