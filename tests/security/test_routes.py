"""Ways in: a path is signed for, or has its own token, or is refused."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from local.emulator.routes import WITHOUT_SIGNATURE, Way
from local.sagemaker.notebooks.boot import CREDENTIALS_PATH as NOTEBOOK_CREDENTIALS
from tests.platform import LocalPlatform
from tests.security.conftest import Key
from tests.security.wire import EVIL, Answer, Request, send

METHODS = ("GET", "POST", "PUT", "DELETE")
# What is answered to everybody on this machine, and how to somebody without a token.
OPEN = {
    ("GET", "/_smp/ready"): 200,
    ("GET", "/_smp/notebook-credentials"): 401,
}
DOCKER = re.compile(r"/v2/.*")
JSON = "application/x-amz-json-1.1"


def own_paths() -> set[str]:
    names = (
        "ready",
        "calls",
        "quotas",
        "accounts",
        "faults",
        "interrupt?job=x",
        "state",
        "nothing",
    )
    return {f"/_smp/{name}" for name in names} | {"/_smp", "/_smp/", NOTEBOOK_CREDENTIALS}


def side_doors() -> set[str]:
    """Paths and beginnings of paths that ministack's own source compares requests with."""
    from ministack import app
    from ministack.core import router

    found: set[str] = set()
    for module in (app, router):
        text = Path(module.__file__ or "").read_text(encoding="utf-8")
        found |= {
            path
            for path in re.findall(r'"(/[A-Za-z_][\w./{}-]*)"', text)
            if not path.startswith(("/var/", "/etc/", "/docker-entrypoint", "/proc", "/tmp"))
        }
    found |= {*app._HEALTH_PATHS, *app._COGNITO_USERINFO_PATHS, *app._RDS_DATA_PATHS}
    return found


def inside(path: str) -> Iterator[str]:
    """The path, and what may lie under it."""
    yield path
    if path.endswith("/"):
        yield f"{path}000000000000/us-east-1/x"
    else:
        yield f"{path}/x"


LATER = (
    "/_ministack/reset",
    "/_ministack/config",
    "/_ministack/sqs/messages",
    "/_ministack/ses/messages",
    "/_ministack/sns/sms-messages",
    "/_ministack/lambda-code/000000000000/us-east-1/x",
    "/_ministack/lambda-layers/x/1/content",
    "/_ministack/eks-auth/x",
    "/_ministack/rds/iam-auth",
    "/_ministack/cfn-response/x",
    f"/_ministack/cfn-response/{uuid4()}/more",
    "/_aws/execute-api/0123abcd/prod/x",
    "/_aws/lambda-url/0123/x",
    "/_alb/name/x",
    "/restapis/0123/prod/_user_request_/x",
    "/latest/meta-data/iam/security-credentials/",
    "/latest/api/token",
    "/us-east-1_abc/.well-known/jwks.json",
    "//_ministack/reset",
    "/_ministack/../_ministack/reset",
    "/%5fministack/reset",
    "/_smp/../_smp/faults",
    "/_smp/ready/../faults",
    "/_smp/ready?x=/../faults",
)


@pytest.fixture(scope="module")
def paths() -> list[str]:
    found = own_paths() | {*LATER} | {each for path in side_doors() for each in inside(path)}
    return sorted(found)


def refusals(
    url: str, paths: list[str], headers: Mapping[str, str], methods: tuple[str, ...] = METHODS
) -> dict[tuple[str, str], Answer]:
    """What was not refused."""
    found = {}
    for path in paths:
        for method in methods:
            answer = send(url, method, path, [*headers.items()])
            if answer.status != 403:
                found[method, path] = answer
    return found


def unchanged(platform: LocalPlatform) -> str:
    """What of the platform nobody may have changed meanwhile."""
    buckets = [b["Name"] for b in platform.client("s3").list_buckets()["Buckets"]]
    roles = [r["RoleName"] for r in platform.client("iam").list_roles()["Roles"]]
    kept = [name for name in (*buckets, *roles) if name.startswith("sagemaker-platform-local")]
    return hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest()


@pytest.mark.holds("Without a signature, no path answers but the few in one table.")
def test_no_path_is_served_without_a_signature(platform: LocalPlatform, paths: list[str]) -> None:
    before = unchanged(platform)
    found = refusals(platform.endpoint_url, paths, {})
    assert {
        where: answer.status
        for where, answer in found.items()
        if not DOCKER.fullmatch(where[1]) and where != ("GET", "/_smp/ready?x=/../faults")
    } == OPEN
    docker = {a.status for where, a in found.items() if DOCKER.fullmatch(where[1])}
    assert docker <= {401}
    assert len(paths) > 150
    assert unchanged(platform) == before


@pytest.mark.holds("No service's operation answers without a signature.")
def test_no_service_is_served_without_a_signature(platform: LocalPlatform) -> None:
    from ministack import app
    from ministack.core import router

    url = platform.endpoint_url
    served: dict[str, Answer] = {}
    for name, patterns in router.SERVICE_PATTERNS.items():
        for prefix in patterns.get("target_prefixes", [])[:1]:
            headers = [("content-type", JSON), ("x-amz-target", f"{prefix}List")]
            served[f"{name} unsigned"] = send(url, "POST", "/", headers, b"{}")
    for name in app.SERVICE_HANDLERS:
        credential = quote(f"AKIAX/20260101/us-east-1/{name}/aws4_request")
        served[f"{name} at a query"] = send(url, "GET", f"/?X-Amz-Credential={credential}")
        served[f"{name} signed by nobody"] = Request(Key("AKIAX", "secret"), name).send(url)
    # By the gate and for what it lacks: ministack refuses some of it, too, in words of its own.
    said = {
        "unsigned": "Sign it with a key",
        "at a query": "Query-string authentication version 4 requires",
        "signed by nobody": "The security token included in the request is invalid",
    }
    wrong = {
        name: (answer.status, answer.text)
        for name, answer in served.items()
        if not 400 <= answer.status <= 403 or said[name.partition(" ")[2]] not in answer.text
    }
    assert wrong == {}
    assert len(served) > 200


FOREIGN_HOSTS = (
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1",
    "127.0.0.1:1",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example:{port}",
    "evil.example@127.0.0.1:{port}",
    "0.0.0.0:{port}",
    "10.0.0.1:{port}",
    "169.254.169.254",
    "[::1]:{port}",
    "a.b.localhost:{port}",
    "0123abcd.execute-api.localhost:{port}",
    "x.alb.localhost:{port}",
    "x.lambda-url.us-east-1.localhost:{port}",
    "x.iot.us-east-1.localhost:{port}",
    "x.cloudfront.net",
    "",
)


@pytest.mark.holds("No other Host is answered: a name that is made to resolve to loopback is none.")
def test_no_other_host_is_served(platform: LocalPlatform, paths: list[str], stranger: Key) -> None:
    url = platform.endpoint_url
    port = url.rpartition(":")[2]
    for host in FOREIGN_HOSTS:
        named = host.format(port=port)
        for path in ("/", "/_smp/ready", "/_smp/calls", "/v2/", "/bucket/k"):
            assert send(url, "GET", path, [("Host", named)]).status == 403, (named, path)
        if named:
            signed = Request(platform.credentials, "s3", host=named).send(url)
            assert signed.status == 403, named
    assert refusals(url, paths, {"Host": "evil.example"}, ("GET", "POST")) == {}
    for more in ("X-Forwarded-Host", "Forwarded", "X-Original-Host"):
        headers = [("Host", "evil.example"), (more, f"127.0.0.1:{port}")]
        assert send(url, "GET", "/_smp/ready", headers).status == 403
    assert send(url, "GET", "http://evil.example/_smp/ready").status == 403
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert send(url, "GET", "/_smp/ready", [("Host", host)]).status == 200


@pytest.mark.holds("No page of another origin is answered, and none is told that it may ask.")
def test_no_page_of_another_origin_is_served(platform: LocalPlatform, paths: list[str]) -> None:
    url = platform.endpoint_url
    assert refusals(url, paths, {"Origin": EVIL}, ("GET", "POST")) == {}
    key = platform.credentials
    for name, value in (
        ("Origin", EVIL),
        ("Origin", "null"),
        ("Origin", "http://localhost:1"),
        ("Origin", f"{url}.evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ):
        request = Request(key, "s3", headers=[(name, value)])
        assert request.send(url).status == 403, (name, value)
    own = Request(key, "s3", headers=[("Origin", url), ("Sec-Fetch-Site", "same-origin")])
    assert own.send(url).status == 200
    preflight = [
        ("Origin", EVIL),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ]
    answers = [send(url, "OPTIONS", path, preflight) for path in ("/", "/b/k", "/_smp/faults")]
    answers += [own.send(url), send(url, "GET", "/_smp/ready"), send(url, "GET", "/b/k")]
    answers += [Request(key, "lambda", path="/2015-03-31/functions").send(url)]
    for answer in answers:
        assert [name for name in answer.headers if name.startswith("access-control-")] == []


@pytest.mark.holds("A bucket's own CORS configuration opens nothing to a page.")
def test_a_buckets_cors_configuration_opens_nothing(platform: LocalPlatform) -> None:
    s3, name = platform.client("s3"), f"cors-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    try:
        rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "AllowedHeaders": ["*"]}
        s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [rule]})
        url = platform.endpoint_url
        asked = [("Origin", EVIL), ("Access-Control-Request-Method", "GET")]
        assert send(url, "OPTIONS", f"/{name}/k", asked).status == 403
        own = Request(platform.credentials, "s3", path=f"/{name}", headers=[("Origin", url)])
        assert "access-control-allow-origin" not in own.send(url).headers
    finally:
        s3.delete_bucket(Bucket=name)


@pytest.mark.holds("A signature opens none of the emulator's own paths.")
def test_no_signature_opens_a_side_door(platform: LocalPlatform, paths: list[str]) -> None:
    url, key = platform.endpoint_url, platform.credentials
    before = unchanged(platform)
    for path in (p for p in paths if re.match(r"/_(?!smp/)|/restapis/.*/_user_request_", p)):
        for method in ("GET", "POST", "PUT"):
            for service in ("s3", "sts", "smp"):
                answer = Request(key, service, method, quote(path, safe="/%._-?=")).send(url)
                assert answer.status in (403, 404), (method, path, service)
                assert "SecretAccessKey" not in answer.text
    # Instance metadata is a bucket's name to S3, and there is no such bucket.
    for path in ("/latest/meta-data/iam/security-credentials/", "/health", "/login"):
        answer = Request(key, "s3", path=path).send(url)
        assert (answer.status, "NoSuchBucket" in answer.text) == (404, True)
    assert unchanged(platform) == before


@pytest.mark.holds("Objects may have any name: a bucket in the Host hides no path.")
def test_objects_may_be_named_as_the_platforms_own_paths(platform: LocalPlatform) -> None:
    s3, name, url = platform.client("s3"), f"vhost-{uuid4().hex[:8]}", platform.endpoint_url
    host = f"{name}.localhost:{url.rpartition(':')[2]}"
    s3.create_bucket(Bucket=name)
    keys = ["_smp/ready", "v2/x", "_ministack/reset", "latest/meta-data", "a b/ü+%.txt"]
    try:
        for key in keys:
            path = "/" + quote(key, safe="/-_.~")
            put = Request(platform.credentials, "s3", "PUT", path, host=host, body=key.encode())
            assert put.send(url).status == 200
            got = Request(platform.credentials, "s3", "GET", path, host=host).send(url)
            assert got.body == key.encode()
        found = s3.list_objects_v2(Bucket=name)["Contents"]
        assert sorted(each["Key"] for each in found) == sorted(keys)
    finally:
        for key in keys:
            s3.delete_object(Bucket=name, Key=key)
        s3.delete_bucket(Bucket=name)


@pytest.mark.holds("The platform's controls answer to its administrator alone.")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_smp/calls"),
        ("GET", "/_smp/quotas"),
        ("GET", "/_smp/state"),
        ("POST", "/_smp/quotas"),
        ("POST", "/_smp/accounts"),
        ("POST", "/_smp/faults"),
        ("POST", "/_smp/interrupt"),
    ],
)
def test_controls_are_the_administrators(
    platform: LocalPlatform, stranger: Key, method: str, path: str
) -> None:
    url = platform.endpoint_url
    answer = Request(stranger, "smp", method, path, body=b"{}").send(url)
    assert (answer.status, "not authorized" in answer.text) == (403, True)
    for service in ("s3", "sts", "sagemaker"):
        request = Request(platform.credentials, service, method, path, body=b"{}")
        assert request.send(url).status == 403
    if method == "GET":
        assert Request(platform.credentials, "smp", method, path).send(url).status == 200


def test_what_is_open_is_in_the_table() -> None:
    assert {each.why for each in WITHOUT_SIGNATURE if each.way is Way.OPEN} == {
        "says whether the server serves"
    }
    assert len(WITHOUT_SIGNATURE) == 4
