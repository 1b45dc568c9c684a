"""The guard is in place in the server: ministack's dispatch, its check of zips and S3's handler."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from local.emulator.api_models import model_of

from .conftest import Server, allow, zipped

ONCE = Config(retries={"max_attempts": 0}, parameter_validation=False)
MALFORMED = (b"{", b"[]", b"[" * 5000, b'{"a": NaN}', b'{"\xff": 1}')


def sent(server: Server, service: str, body: bytes, headers: dict[str, str]) -> Any:
    """The answer to a signed body that no SDK would send."""
    made = server.client(service)
    credentials = made._request_signer._credentials
    url = str(made.meta.endpoint_url)
    scope = made.meta.service_model.signing_name
    request = botocore.awsrequest.AWSRequest("POST", url + "/", headers=headers, data=body)
    botocore.auth.SigV4Auth(credentials, scope, "us-east-1").add_auth(request)
    return requests.post(url + "/", data=body, headers=dict(request.headers), timeout=60)


@pytest.mark.holds("A malformed body is refused by the server in its service's own protocol.")
@pytest.mark.parametrize(
    "service", ["sagemaker", "dynamodb", "kms", "stepfunctions", "logs", "ssm", "ecr", "events"]
)
def test_a_malformed_body_is_refused_by_the_server(server: Server, service: str) -> None:
    model = model_of(service)
    assert model
    operation = next(name for name in model.operation_names if name.startswith("List"))
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": f"{model.metadata['targetPrefix']}.{operation}",
    }
    for body in MALFORMED:
        answer = sent(server, service, body, headers)
        assert answer.status_code == 400, answer.text
        assert answer.json()["__type"] == "SerializationException"


def test_a_wrong_type_is_refused_by_every_kind_of_service(server: Server) -> None:
    calls: tuple[Callable[[], Any], ...] = (
        lambda: server.client("iam", config=ONCE).list_users(MaxItems="many"),
        lambda: server.client("lambda", config=ONCE).create_function(FunctionName="f", Timeout="x"),
        lambda: server.client("dynamodb", config=ONCE).list_tables(Limit="many"),
        lambda: server.client("ec2", config=ONCE).describe_vpcs(MaxResults="many"),
    )
    codes = []
    for call in calls:
        with pytest.raises(ClientError) as caught:
            call()
        codes.append(caught.value.response["Error"]["Code"])
    serialization = "SerializationException"
    assert codes == ["ValidationError", serialization, serialization, "InvalidParameterValue"]


def test_a_key_that_is_too_long_is_refused_by_the_server(server: Server) -> None:
    s3 = server.client("s3", config=ONCE)
    s3.create_bucket(Bucket="long-keys")
    s3.put_object(Bucket="long-keys", Key="k" * 1024, Body=b"")
    for call in (s3.put_object, s3.get_object):
        with pytest.raises(ClientError, match="KeyTooLongError"):
            call(Bucket="long-keys", Key="k" * 1025)


@pytest.mark.holds("A function's zip with a flipped byte is not taken.")
def test_a_damaged_zip_is_refused_by_the_server(server: Server) -> None:
    package = zipped("def handler(event, context):\n    return 'AAAAA'\n")
    with zipfile.ZipFile(io.BytesIO(package)) as file:
        names = file.namelist()
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as file:
        file.writestr(names[0], b"AAAAA")
    role = server.role("damaged", "lambda.amazonaws.com", allow("logs:*"))
    with pytest.raises(ClientError, match="Could not unzip uploaded file") as caught:
        server.client("lambda", config=ONCE).create_function(
            FunctionName="damaged",
            Runtime="python3.13",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": stored.getvalue().replace(b"AAAAA", b"AAAAB", 1)},
        )
    assert "CRC-32" in json.dumps(caught.value.response)


@pytest.mark.holds("A body is inflated within bounds, by the gate, and by nothing behind it.")
@pytest.mark.parametrize(("encoding", "status"), [("gzip", 200), ("x-gzip", 400), ("agzip", 400)])
def test_only_what_the_gate_inflates_is_inflated(
    server: Server, encoding: str, status: int
) -> None:
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "DynamoDB_20120810.ListTables",
        "content-encoding": encoding,
    }
    answer = sent(server, "dynamodb", gzip.compress(b'{"Limit": 1}'), headers)
    assert answer.status_code == status, answer.text
