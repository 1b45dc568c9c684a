"""Web pages that a person visits while the platform runs."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from playwright.sync_api import Browser, Page, Response, Route

from local.platform.home import Home
from local.platform.record import recorded
from tests.local import browser
from tests.local.algorithms.support import Data, fit, served
from tests.local.support import notebook_in_service
from tests.platform import LocalPlatform
from tests.unit.algorithms.conftest import csv, digits

# Hosts that resolve to loopback, as a foreign name does after DNS rebinding. Chromium's own checks
# of local addresses are off: it is the platform that must refuse, whichever browser asks.
ARGUMENTS = (
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    "--disable-features=LocalNetworkAccessChecks,PrivateNetworkAccessSendPreflights,"
    "BlockInsecurePrivateNetworkRequests",
)
# What a page can send: with fetch in either mode, by a form, a script, an image, a socket.
ATTACK = """
async attempts => {
  const read = [];
  for (const one of attempts) {
    try {
      const answer = await fetch(one.url, {...one.init, signal: AbortSignal.timeout(10000)});
      const text = answer.type === 'opaque' ? '' : await answer.text();
      read.push({name: one.name, type: answer.type, status: answer.status, text});
    } catch (error) {
      read.push({name: one.name, type: 'blocked', status: 0, text: String(error)});
    }
  }
  for (const url of new Set(attempts.map(one => new URL(one.url).origin))) {
    await new Promise(done => {
      const socket = new WebSocket(url.replace('http', 'ws') + '/api/kernels/x/channels');
      socket.onopen = () => { read.push({name: 'socket', type: 'open', status: 101, text: ''}); };
      socket.onclose = socket.onerror = done;
      setTimeout(done, 10000);
    });
    await new Promise(done => {
      const frame = document.createElement('iframe');
      frame.name = 'frame' + Math.random();
      document.body.append(frame);
      const form = document.createElement('form');
      Object.assign(form, {method: 'POST', action: url + '/_ministack/reset', target: frame.name});
      document.body.append(form);
      frame.onload = done;
      form.submit();
      setTimeout(done, 10000);
    });
    await new Promise(done => {
      const script = document.createElement('script');
      script.src = url + '/_smp/calls';
      script.onload = () => {
        read.push({name: 'script', type: 'run', status: 200, text: url}); done();
      };
      script.onerror = done;
      document.body.append(script);
    });
  }
  return read;
}
"""


@dataclass(frozen=True)
class Visitor:
    """A browser's page, the platform's port, and all ports that are to be reached from it."""

    page: Page
    own: int
    ports: tuple[int, ...]


@dataclass
class Canaries:
    """Things of the platform that an attack would read or change."""

    bucket: str
    queue: str
    user: str

    def unharmed(self, platform: LocalPlatform) -> bool:
        s3, sqs, iam = (platform.client(name) for name in ("s3", "sqs", "iam"))
        count = sqs.get_queue_attributes(
            QueueUrl=self.queue, AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]["ApproximateNumberOfMessages"]
        body = s3.get_object(Bucket=self.bucket, Key="canary")["Body"].read()
        user = iam.get_user(UserName=self.user)["User"]["UserName"]
        return bool((body, count, user) == (b"alive", "1", self.user))


@pytest.fixture
def canaries(platform: LocalPlatform) -> Iterator[Canaries]:
    s3, sqs, iam = (platform.client(name) for name in ("s3", "sqs", "iam"))
    name = f"canary-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="canary", Body=b"alive")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="confidential")
    iam.create_user(UserName=name)
    yield Canaries(name, queue, name)
    iam.delete_user(UserName=name)
    sqs.delete_queue(QueueUrl=queue)
    s3.delete_object(Bucket=name, Key="canary")
    s3.delete_bucket(Bucket=name)


@pytest.fixture(scope="module")
def model_server(platform: LocalPlatform) -> Iterator[int]:
    """The port of a model server, which stands as long as its tests."""
    data = Data({"a.csv": csv(digits()[0][:200])}, "text/csv;label_size=0")
    job = fit(platform, "kmeans", {"train": data}, {"k": 10, "feature_dim": 64})
    mark = uuid4().hex
    with served(platform, "kmeans", job, environment={"SAGEMAKER_MARK": mark}):
        yield next(
            int(environment["SAGEMAKER_BIND_TO_PORT"])
            for environment in started(platform)
            if environment.get("SAGEMAKER_MARK") == mark
        )


def started(platform: LocalPlatform) -> Iterator[dict[str, str]]:
    """The environments of the processes that the platform has begun."""
    server = recorded(Home(platform.home))
    assert server
    assert server.process
    for process in server.process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            yield process.environ()


def key_of(platform: LocalPlatform) -> Credentials:
    return Credentials(platform.credentials.access_key, platform.credentials.secret_key)


def signed(key: Credentials, method: str, url: str, body: str, service: str) -> dict[str, str]:
    request = AWSRequest(method=method, url=url, data=body.encode())
    SigV4Auth(key, service, "us-east-1").add_auth(request)
    return {name: value for name, value in request.headers.items() if name.lower() != "host"}


def attempts(base: str, canaries: Canaries, admin: Credentials) -> list[dict[str, Any]]:
    """Requests to whatever listens at `base`."""
    text = {"Content-Type": "text/plain"}
    sent = {"method": "POST", "mode": "no-cors", "headers": text, "credentials": "include"}
    found = [
        (path, {**sent, "body": body})
        for path, body in (
            ("/_ministack/reset", ""),
            ("/_ministack/config", '{"stepfunctions._sfn_mock_config":{"StateMachines":{}}}'),
            ("/_smp/quotas", '{"set":"L-1194F27D","value":0}'),
            ("/_smp/faults", '{"lose_host":{"probability":1}}'),
            ("/_smp/interrupt?job=x", ""),
            (f"/?Action=DeleteUser&UserName={canaries.user}", ""),
            ("/invocations", ",".join(["0"] * 64)),
            ("/api/kernels", '{"name":"python3"}'),
            ("/api/terminals", ""),
        )
    ]
    found += [
        (path, {"credentials": "include"})
        for path in (
            "/_smp/ready",
            "/_smp/calls",
            "/_smp/state",
            "/_ministack/health",
            "/_ministack/sqs/messages",
            "/latest/meta-data/iam/security-credentials/",
            f"/{canaries.bucket}/canary",
            "/lab",
            "/api/contents",
            "/api/sessions",
            "/ping",
        )
    ]
    for key in (Credentials("test", "test"), Credentials("000000000000", "test"), admin):
        for method, path, service in (
            ("GET", f"/{canaries.bucket}/canary", "s3"),
            ("DELETE", f"/{canaries.bucket}/canary", "s3"),
            ("POST", "/2015-03-31/functions", "lambda"),
        ):
            headers = signed(key, method, base + path, "", service)
            found.append((path, {"method": method, "headers": headers}))
    return [{"name": path, "url": base + path, "init": init} for path, init in found]


def attacked(page: Page, origin: str, sent: Sequence[dict[str, Any]]) -> list[Response]:
    """Every answer on the wire to a page of `origin`, which must have read none of them."""
    answers: list[Response] = []

    def shown(route: Route) -> None:
        route.fulfill(content_type="text/html", body="<body>attack</body>")

    def noted(answer: Response) -> None:
        answers.append(answer)

    page.route(f"{origin}/attack", shown)
    page.goto(f"{origin}/attack")
    page.on("response", noted)
    read = page.evaluate(ATTACK, sent)
    page.remove_listener("response", noted)
    assert len(read) >= len(sent)
    leaked = [
        one for one in read if one["type"] not in ("blocked", "opaque") and one["status"] != 403
    ]
    assert leaked == []
    return answers


def refused(answers: Sequence[Response], port: int) -> bool:
    """Every change was refused, and by the platform, at `port`, everything."""
    wrong = [
        (one.request.method, one.url, one.status)
        for one in answers
        if (one.status != 403 and urlsplit(one.url).port == port)
        or (one.status < 400 and one.request.method not in ("GET", "HEAD"))
    ]
    assert wrong == []
    return bool(answers)


@pytest.fixture(scope="module")
def notebook(platform: LocalPlatform) -> Iterator[str]:
    with notebook_in_service(platform, "visited") as name:
        yield name


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.started(*ARGUMENTS) as found:
        yield found


@pytest.fixture
def visitor(
    platform: LocalPlatform, notebook: str, model_server: int, chromium: Browser
) -> Iterator[Visitor]:
    """Somebody who has a notebook open, and the ports that their pages may want to reach."""
    sagemaker = platform.client("sagemaker")
    opened = sagemaker.create_presigned_notebook_instance_url(NotebookInstanceName=notebook)
    url = str(opened["AuthorizedUrl"])
    own, jupyter = (urlsplit(each).port for each in (platform.endpoint_url, url))
    assert own
    assert jupyter
    # With cookies and a cache of its own.
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(url)
        yield Visitor(page, own, (own, jupyter, model_server))


@pytest.mark.holds(
    "A web page of another origin can neither read nor change anything of the platform, of "
    "JupyterLab, or of a model server, in a browser that has a notebook open."
)
@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:7999", "http://localhost:7999", "http://a.example"]
)
def test_a_page_of_another_origin_reads_and_changes_nothing(
    platform: LocalPlatform, canaries: Canaries, visitor: Visitor, origin: str
) -> None:
    for port in visitor.ports:
        sent = attempts(f"http://127.0.0.1:{port}", canaries, key_of(platform))
        assert refused(attacked(visitor.page, origin, sent), visitor.own)
    assert canaries.unharmed(platform)


@pytest.mark.holds(
    "A page under a foreign host name that resolves to loopback (DNS rebinding) is refused, "
    "though the browser takes it for the same origin."
)
def test_a_foreign_host_name_that_resolves_to_loopback_reads_and_changes_nothing(
    platform: LocalPlatform, canaries: Canaries, visitor: Visitor
) -> None:
    for port in visitor.ports:
        base = f"http://rebound.example:{port}"
        sent = attempts(base, canaries, key_of(platform))
        assert refused(attacked(visitor.page, base, sent), visitor.own)
    assert canaries.unharmed(platform)


@pytest.mark.holds("What may be read with the right signature may be read by no page.")
def test_answers_name_no_origin_that_may_read_them(platform: LocalPlatform) -> None:
    answer = platform.client("sts").get_caller_identity()
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert not [name for name in headers if name.startswith("access-control-")], json.dumps(headers)
