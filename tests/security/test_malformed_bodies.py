"""Bodies that no service can take."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack import app
from ministack.services import s3

from local.emulator import object_limits, serialization
from local.emulator.api_models import model_of

Answer = tuple[int, dict[str, str], bytes]
DEEP = 100_000
# Words of Python's, which no answer holds.
PYTHON = ("Traceback", "Error(", "object has no", "NoneType", "expected str", "/home", "/tmp")

JSON_BODIES = {
    "text": b"{",
    "list": b"[]",
    "null": b"null",
    "string": b'"x"',
    "number": b"1",
    "two": b"{}{}",
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep member": b'{"a":' * 200 + b"1" + b"}" * 200,
    "NaN": b'{"MaxResults": NaN}',
    "infinity": b'{"MaxResults": -Infinity}',
    "many digits": b'{"MaxResults": ' + b"9" * 5000 + b"}",
    "UTF-16": "{}".encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'{"a": "\xff"}',
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "NUL": b"\0",
    "control character": b'{"a": "\x01"}',
}
TARGETS = {
    "dynamodb": "DynamoDB_20120810.ListTables",
    "ecr": "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories",
    "events": "AWSEvents.ListRules",
    "kms": "TrentService.ListKeys",
    "logs": "Logs_20140328.DescribeLogGroups",
    "sagemaker": "SageMaker.ListTrainingJobs",
    "secretsmanager": "secretsmanager.ListSecrets",
    "ssm": "AmazonSSM.DescribeParameters",
    "states": "AWSStepFunctions.ListStateMachines",
}


async def fine(*given: Any) -> Answer:
    return 200, {}, b"{}"


async def failing(*given: Any) -> Answer:
    raise KeyError("/home/me/.local/state")


async def failed(*given: Any) -> Answer:
    body = {"__type": "InternalError", "message": "'NoneType' object has no attribute 'get'"}
    return 500, {"Content-Type": "application/json"}, json.dumps(body).encode()


def asked(
    service: str,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    dispatch: Any = fine,
    method: str = "POST",
    path: str = "/",
    query: dict[str, list[str]] | None = None,
) -> Answer:
    scope = f"Credential=AKIA/20260101/us-east-1/{service}/aws4_request, "
    given = {"authorization": f"AWS4-HMAC-SHA256 {scope}", "host": "127.0.0.1:4566"}
    served = serialization.guarded(dispatch)
    found = served(method, path, {**given, **(headers or {})}, body, query or {}, "request-id")
    return asyncio.run(_answer(found))


async def _answer(found: Any) -> Answer:
    answer: Answer = await found
    assert not [word for word in PYTHON if word.encode() in answer[2]]
    return answer


def of_json(target: str) -> dict[str, str]:
    return {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}


def of_form() -> dict[str, str]:
    return {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.holds("A body that is no JSON document is a SerializationException of every service.")
@pytest.mark.parametrize("name", JSON_BODIES)
def test_a_body_that_is_no_json_is_refused(name: str) -> None:
    for service, target in TARGETS.items():
        status, headers, body = asked(service, JSON_BODIES[name], of_json(target))
        document = json.loads(body)
        assert (status, document["__type"]) == (400, "SerializationException"), service
        assert document["message"].endswith("."), document
        assert headers["x-amzn-ErrorType"] == "SerializationException"


def test_an_honest_body_reaches_its_service() -> None:
    deep: Any = {"S": "x"}
    for _ in range(20):
        deep = {"M": {"a": deep}}
    for target, document in (
        ("DynamoDB_20120810.PutItem", {"TableName": "t", "Item": {"a": {"B": "AAE="}, "m": deep}}),
        ("DynamoDB_20120810.Scan", {"TableName": "t", "Limit": 5, "Unknown": [1, None]}),
        ("DynamoDB_20120810.Scan", {"TableName": "\U0001f600", "Limit": None}),
    ):
        for text in (json.dumps(document), json.dumps(document, ensure_ascii=False)):
            assert asked("dynamodb", text.encode(), of_json(target))[0] == 200
    assert asked("dynamodb", b"", of_json(TARGETS["dynamodb"]))[0] == 200


WRONG_TYPES = [
    ("dynamodb", "DynamoDB_20120810.ListTables", {"Limit": "5"}),
    ("dynamodb", "DynamoDB_20120810.ListTables", {"Limit": True}),
    ("dynamodb", "DynamoDB_20120810.ListTables", {"Limit": 1.5}),
    ("dynamodb", "DynamoDB_20120810.ListTables", {"Limit": 2**31}),
    ("dynamodb", "DynamoDB_20120810.ListTables", {"ExclusiveStartTableName": 5}),
    ("dynamodb", "DynamoDB_20120810.PutItem", {"TableName": "t", "Item": []}),
    ("dynamodb", "DynamoDB_20120810.PutItem", {"TableName": "t", "Item": {"a": "x"}}),
    ("dynamodb", "DynamoDB_20120810.PutItem", {"TableName": "t", "Item": {"a": {"B": "="}}}),
    ("dynamodb", "DynamoDB_20120810.PutItem", {"TableName": "t", "Item": {"a": {"L": [1]}}}),
    ("dynamodb", "DynamoDB_20120810.Scan", {"TableName": "t", "ConsistentRead": "true"}),
    ("events", "AWSEvents.PutEvents", {"Entries": {}}),
    ("events", "AWSEvents.PutEvents", {"Entries": [{"Time": "yesterday"}]}),
    ("events", "AWSEvents.PutEvents", {"Entries": [{"Time": 1e300}]}),
    ("kms", "TrentService.Encrypt", {"KeyId": "k", "Plaintext": "not base64"}),
    ("logs", "Logs_20140328.PutLogEvents", {"logEvents": [{"timestamp": "now"}]}),
    ("ssm", "AmazonSSM.GetParameters", {"Names": "one"}),
    ("states", "AWSStepFunctions.StartExecution", {"input": {}}),
]


@pytest.mark.holds("A member of the wrong type is a SerializationException, of every service.")
@pytest.mark.parametrize(("service", "target", "document"), WRONG_TYPES)
def test_a_member_of_the_wrong_type_is_refused(
    service: str, target: str, document: dict[str, Any]
) -> None:
    status, _, body = asked(service, json.dumps(document).encode(), of_json(target))
    assert (status, json.loads(body)["__type"]) == (400, "SerializationException")
    assert "can not be converted to" in json.loads(body)["message"]


def test_bodies_of_rest_services_are_read_by_their_route() -> None:
    for path, body in (
        ("/2015-03-31/functions", b'{"FunctionName": 5}'),
        ("/2015-03-31/functions", b'{"Layers": "x"}'),
        ("/2015-03-31/functions", b'{"MemorySize": "big"}'),
        ("/2015-03-31/functions", b"["),
    ):
        status, headers, answer = asked("lambda", body, path=path)
        assert (status, headers["x-amzn-ErrorType"]) == (400, "SerializationException"), path
        assert headers["Content-Type"] == "application/json"
        assert json.loads(answer)["message"]
    # What a function is called with is the function's own business.
    path = "/2015-03-31/functions/f/invocations"
    assert asked("lambda", b"\xff\0[", path=path)[0] == 200


FORMS = [
    ("iam", b"Action=ListRoles&Version=2010-05-08&MaxItems=abc", "ValidationError"),
    ("iam", b"Action=ListRoles&Version=2010-05-08&MaxItems=%00", "ValidationError"),
    ("iam", b"Action=ListRoles&Version=2010-05-08&MaxItems=99999999999", "ValidationError"),
    ("iam", b"Action=ListRoles&Marker=\xff", "MalformedQueryString"),
    ("iam", b"&".join([b"a=b"] * 20_001), "MalformedQueryString"),
    ("sts", b"Action=AssumeRole&DurationSeconds=1e3", "ValidationError"),
    ("sts", b"Action=AssumeRole&Tags.member.1.Key=a%00", "ValidationError"),
    ("sqs", b"Action=ReceiveMessage&Version=2012-11-05&MaxNumberOfMessages=x", "ValidationError"),
    ("cloudformation", b"Action=CreateStack&TimeoutInMinutes=x", "ValidationError"),
    ("ec2", b"Action=DescribeVpcs&MaxResults=x", "InvalidParameterValue"),
    ("ec2", b"Action=RunInstances&BlockDeviceMapping.1.Ebs.VolumeSize=x", "InvalidParameterValue"),
    ("ec2", b"Action=DescribeVpcs&DryRun=maybe", "InvalidParameterValue"),
]


@pytest.mark.holds("A form with a field of the wrong type is refused with the code of its service.")
@pytest.mark.parametrize(("service", "body", "code"), FORMS, ids=range(len(FORMS)))
def test_a_field_of_the_wrong_type_is_refused(service: str, body: bytes, code: str) -> None:
    status, headers, answer = asked(service, body, of_form())
    assert status == 400
    assert f"<Code>{code}</Code>".encode() in answer
    assert headers["Content-Type"] == "text/xml"
    assert (b"<Response><Errors>" in answer) == (service == "ec2")


def test_honest_forms_reach_their_services() -> None:
    for service, body in (
        ("iam", b"Action=ListRoles&MaxItems=5&PathPrefix=%2F"),
        ("sts", b"Action=AssumeRole&DurationSeconds=900&Tags.member.1.Key=a&Tags.member.1.Value="),
        ("ec2", b"Action=DescribeVpcs&Filter.1.Name=a&Filter.1.Value.1=7&MaxResults=5"),
        ("ec2", b"Action=RunInstances&BlockDeviceMapping.1.Ebs.VolumeSize=8&DryRun=false"),
        ("cloudformation", b"Action=CreateStack&Tags=&TimeoutInMinutes=5&Other.1=x"),
    ):
        assert asked(service, body, of_form())[0] == 200, body


BOMB = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><Tagging>&c;</Tagging>'
XML_BODIES = [
    b"<a>",
    b"text",
    b"<a></b>",
    b"\xff\xfe",
    b"<a>" * 200 + b"</a>" * 200,
    BOMB,
    b"<\0/>",
]


@pytest.mark.holds("A body that is no XML, nests too deeply or has entities is MalformedXML.")
@pytest.mark.parametrize("body", XML_BODIES, ids=range(len(XML_BODIES)))
def test_a_body_that_is_no_xml_is_refused(body: bytes) -> None:
    for path, query in (("/b", {"tagging": [""]}), ("/b", {"lifecycle": [""]})):
        status, headers, answer = asked("s3", body, method="PUT", path=path, query=query)
        assert status == 400
        assert answer.startswith(b"<Error><Code>MalformedXML</Code>")
        assert headers["Content-Type"] == "application/xml"
    assert asked("s3", body, path="/b", query={"delete": [""]})[0] == 400
    # The content of an object may be anything, and a policy is JSON.
    assert asked("s3", body, method="PUT", path="/b/key")[0] == 200
    assert asked("s3", body, method="PUT", path="/b", query={"policy": [""]})[0] == 200


@pytest.mark.holds("What a handler fails at is told by a reference, without Python's words.")
@pytest.mark.parametrize("dispatch", [failing, failed])
def test_a_failure_is_told_without_its_words(
    dispatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for service, headers, body, kind in (
        ("kms", of_json("TrentService.ListKeys"), b"{}", b'"InternalFailure"'),
        ("iam", of_form(), b"Action=ListRoles", b"<Code>InternalFailure</Code>"),
        ("ec2", of_form(), b"Action=DescribeVpcs", b"<Code>InternalFailure</Code>"),
        ("s3", {}, b"", b"<Code>InternalError</Code>"),
    ):
        status, _, answer = asked(service, body, headers, dispatch=dispatch)
        assert status == 500
        assert kind in answer
        assert b"(reference request-id)" in answer
    assert "request-id" in caplog.text


@pytest.mark.holds("A request that breaks a service's own constraints is never an internal error.")
def test_a_failure_at_a_request_that_is_invalid_is_a_validation_error() -> None:
    status, _, answer = asked("kms", b"{}", of_json("TrentService.DescribeKey"), dispatch=failed)
    assert (status, json.loads(answer)["__type"]) == (400, "ValidationException")
    assert "'keyId' failed to satisfy constraint: Member must not be null" in answer.decode()
    status, _, answer = asked("iam", b"Action=GetRole", of_form(), dispatch=failed)
    assert status == 400
    assert b"The request must contain the parameter RoleName." in answer
    status, _, answer = asked(
        "s3", b"<a>1</a>", method="PUT", path="/b", query={"tagging": [""]}, dispatch=failed
    )
    assert status == 400
    assert b"MalformedXML" in answer


def services() -> Iterator[str]:
    yield from app.SERVICE_HANDLERS


def test_every_service_has_a_description_or_is_known_to_have_none() -> None:
    # A service that an upgrade adds under another name than botocore's belongs into the table.
    without = {name for name in services() if model_of(name) is None}
    assert without <= {"appsync-events", "ecs-metadata", "imds"}


@pytest.mark.holds("Keys beyond 1,024 bytes and metadata beyond 2 KB are refused as S3 does.")
def test_what_is_too_long_for_s3_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "handle_request", fine)
    object_limits.install()

    def put(path: str, headers: dict[str, str]) -> Answer:
        return asyncio.run(_answer(s3.handle_request("PUT", path, headers, b"", {})))

    assert put("/b/" + "k" * 1024, {})[0] == 200
    assert put("/b/k", {"x-amz-meta-a": "v" * 2047})[0] == 200
    for path, headers, code in (
        ("/b/" + "k" * 1025, {}, b"KeyTooLongError"),
        ("/b/" + "\u00e4" * 513, {}, b"KeyTooLongError"),
        ("/b/k", {"x-amz-meta-a": "v" * 2048}, b"MetadataTooLarge"),
    ):
        status, _, body = put(path, headers)
        assert status == 400
        assert code in body
