"""One emulator with a fake SageMaker for the tests of this folder."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.platform import control
from local.platform.credentials import Credentials

ACCOUNT = "000000000000"
REGION = "us-east-1"


@dataclass
class Server:
    """A running emulator and the clients that tests need of it."""

    port: int
    process: subprocess.Popen[bytes]
    state: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, **options: Any) -> Any:
        make: Any = boto3.session.Session().client
        key = {
            "aws_access_key_id": self.administrator.access_key,
            "aws_secret_access_key": self.administrator.secret_key,
        }
        return make(service, region_name=REGION, endpoint_url=self.url, **(key | options))

    @property
    def administrator(self) -> Credentials:
        """The key that the server wrote before it answered."""
        text = (self.state.parent / f"{self.state.name}.json").read_text(encoding="utf-8")
        return Credentials(**json.loads(text))

    def get(self, path: str) -> Any:
        return control.call(self.url, self.administrator, path.removeprefix("/_smp/"))

    def post(self, path: str, document: dict[str, Any]) -> None:
        control.call(self.url, self.administrator, path.removeprefix("/_smp/"), document)

    def role(self, name: str, service: str, *statements: dict[str, Any], trust: str = "") -> str:
        """A role with one inline policy; of the same name again, it is replaced."""
        iam = self.client("iam")
        principal: dict[str, str] = {"Service": service} if service else {"AWS": trust}
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
        }
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"][
            "Arn"
        ]
        self.allow(name, *statements)
        return str(arn)

    def allow(self, role: str, *statements: dict[str, Any]) -> None:
        """Give a role these statements and no others."""
        policy = {"Version": "2012-10-17", "Statement": [*statements]}
        if statements:
            self.client("iam").put_role_policy(
                RoleName=role, PolicyName="p", PolicyDocument=json.dumps(policy)
            )
        else:
            self.client("iam").delete_role_policy(RoleName=role, PolicyName="p")

    def assumed(self, service: str, role: str) -> Any:
        """A client with the credentials of a role that trusts the account."""
        found = self.client("sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="test"
        )["Credentials"]
        return self.client(
            service,
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"],
            aws_session_token=found["SessionToken"],
        )


def allow(*actions: str, on: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": [*actions], "Resource": on}
    return {**statement, **({"Condition": condition} if condition else {})}


def zipped(source: str, **others: str) -> bytes:
    """A function's package with the module `index` and other files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as package:
        for name, text in {"index.py": source, **others}.items():
            package.writestr(name, text)
    return data.getvalue()


def eventually(read: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 60) -> Any:
    """What `read` gives once it is `wanted`."""
    deadline = time.monotonic() + seconds
    while True:
        found = read()
        if wanted(found):
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; last seen: {found}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(state: Path, port: int, *arguments: str) -> Server:
    """Start the emulator with the fake service and wait until it serves."""
    script = Path(__file__).with_name("serve_fake.py")
    root = Path(__file__).parents[3]
    log = (state / "log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, str(script), "--port", str(port), "--state", str(state)),
            *("--credentials", str(state.parent / f"{state.name}.json"), *arguments),
        ],
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    server = Server(port, process, state)
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"{server.url}/_smp/ready").close()
        except (urllib.error.URLError, ConnectionError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((state / "log").read_text()) from error
            time.sleep(0.05)
        else:
            return server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = started(tmp_path_factory.mktemp("emulator"), free_port())
    yield found
    os.killpg(found.process.pid, signal.SIGTERM)
    found.process.wait(60)
