import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
from moto import mock_aws

from logs.handler import lambda_handler

TRAINING = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    received: list[dict[str, Any]] = []

    class CloudFormation(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            length = int(self.headers["Content-Length"])
            received.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), CloudFormation)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with mock_aws():
        monkeypatch.setitem(EVENT, "ResponseURL", f"http://127.0.0.1:{server.server_port}/")
        yield received
    server.shutdown()
    server.server_close()


EVENT: dict[str, Any] = {
    "RequestType": "Create",
    "ResponseURL": "",
    "StackId": "stack",
    "RequestId": "request",
    "LogicalResourceId": "Retention",
    "ResourceProperties": {"LogGroups": [TRAINING], "Days": "30"},
}


def _retention() -> dict[str, int | None]:
    groups = boto3.client("logs").describe_log_groups()["logGroups"]
    return {group["logGroupName"]: group.get("retentionInDays") for group in groups}


def test_makes_missing_groups_and_may_be_repeated(answers: list[dict[str, Any]]) -> None:
    lambda_handler(EVENT, None)
    lambda_handler(EVENT, None)
    assert _retention() == {TRAINING: 30}
    assert [answer["Status"] for answer in answers] == ["SUCCESS", "SUCCESS"]


def test_gives_groups_that_sagemaker_made_a_retention(answers: list[dict[str, Any]]) -> None:
    boto3.client("logs").create_log_group(logGroupName=TRAINING)
    lambda_handler(EVENT, None)
    assert _retention() == {TRAINING: 30}


def test_deleting_the_resource_leaves_the_groups(answers: list[dict[str, Any]]) -> None:
    lambda_handler(EVENT, None)
    lambda_handler({**EVENT, "RequestType": "Delete", "PhysicalResourceId": "kept"}, None)
    assert _retention() == {TRAINING: 30}
    assert answers[-1]["PhysicalResourceId"] == "kept"


def test_tells_cloudformation_why_it_failed(answers: list[dict[str, Any]]) -> None:
    lambda_handler({**EVENT, "ResourceProperties": {"LogGroups": [TRAINING], "Days": "soon"}}, None)
    assert answers[-1]["Status"] == "FAILED"
    assert answers[-1]["Reason"].startswith("ValueError: ")
