"""Signatures: who has no key of the account does nothing, and what is signed is what is done."""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.contract.emulator.conftest import zipped
from tests.platform import TRUST, LocalPlatform
from tests.security.conftest import Key
from tests.security.wire import Answer, Request, send, sign

JSON = "application/x-amz-json-1.1"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def bucket(platform: LocalPlatform) -> Iterator[str]:
    s3, name = platform.client("s3"), f"signed-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    yield name
    for each in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=each["Key"])
    s3.delete_bucket(Bucket=name)


def names(platform: LocalPlatform, bucket: str) -> set[str]:
    found = platform.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return {each["Key"] for each in found}


def identity(key: Any, **how: Any) -> Request:
    """A call that anybody may make, of the query protocol."""
    body = b"Action=GetCallerIdentity&Version=2011-06-15"
    headers = [("content-type", FORM), *how.pop("headers", [])]
    return Request(key, "sts", "POST", body=body, headers=headers, **how)


def tables(key: Any, **how: Any) -> Request:
    """A call of a JSON protocol."""
    headers = [("content-type", JSON), ("x-amz-target", "DynamoDB_20120810.ListTables")]
    headers += how.pop("headers", [])
    return Request(key, "dynamodb", "POST", headers=headers, **{"body": b"{}", **how})


def put(key: Any, bucket: str, name: str = "k", **how: Any) -> Request:
    return Request(key, "s3", "PUT", f"/{bucket}/{name}", **{"body": b"content", **how})


@pytest.mark.holds("`test`/`test`, an account's number and an empty key are refused.")
@pytest.mark.parametrize(
    "key", [("test", "test"), ("000000000000", "test"), ("123456789012", "test"), ("AKIA", "x")]
)
def test_a_key_that_nobody_made_is_refused_by_every_protocol(
    platform: LocalPlatform, key: tuple[str, str]
) -> None:
    url = platform.endpoint_url
    asked = identity(Key(*key)).send(url)
    assert (asked.status, "InvalidClientTokenId" in asked.text) == (403, True)
    asked = tables(Key(*key)).send(url)
    assert (asked.status, "UnrecognizedClientException" in asked.text) == (403, True)
    asked = Request(Key(*key), "s3").send(url)
    assert (asked.status, "InvalidAccessKeyId" in asked.text) == (403, True)
    assert send(url, "GET", Request(Key(*key), "s3").presigned(url)).status == 403


@pytest.mark.holds("An operation without a signature is refused, in the words of its service.")
def test_an_unsigned_operation_is_refused_in_its_protocol(platform: LocalPlatform) -> None:
    url = platform.endpoint_url
    form = [("content-type", FORM)]
    for body in (
        b"Action=GetCallerIdentity&Version=2011-06-15",
        b"Action=SendMessage&QueueUrl=x&MessageBody=x&Version=2012-11-05",
        b"Action=AssumeRoleWithWebIdentity&RoleArn=x&WebIdentityToken=x&RoleSessionName=x",
        b"Action=ListUsers&AWSAccessKeyId=test&Signature=x&SignatureVersion=2",
        b"Action=ListUsers&X-Amz-Credential=test/20260101/us-east-1/iam/aws4_request",
        b"Action=ListUsers&X-Amz-Security-Token=x",
    ):
        answer = send(url, "POST", "/", form, body)
        assert answer.status == 403
        assert "<Code>MissingAuthenticationToken</Code>" in answer.text
    for target in ("DynamoDB_20120810.ListTables", "AmazonSQS.ListQueues", "Logs_20140328.X"):
        answer = send(url, "POST", "/", [("content-type", JSON), ("x-amz-target", target)], b"{}")
        assert answer.status == 403
        assert json.loads(answer.body)["__type"] == "MissingAuthenticationTokenException"
    assert "<Code>AccessDenied</Code>" in send(url, "GET", "/some-bucket/k").text


@pytest.mark.holds("A signature binds method, path, query, headers and body: none can be changed.")
def test_nothing_of_a_signed_request_can_be_changed(platform: LocalPlatform, bucket: str) -> None:
    url, key = platform.endpoint_url, platform.credentials
    request = put(key, bucket, "signed", headers=[("x-amz-meta-a", "1"), ("content-type", "a/b")])
    good = request.signed(url)
    path = request.path

    def changed(name: str, value: str) -> list[tuple[str, str]]:
        return [(k, value if k == name else v) for k, v in good]

    tries = {
        "method": ("POST", path, good, b"content"),
        "path": ("PUT", f"/{bucket}/other", good, b"content"),
        "query": ("PUT", f"{path}?acl", good, b"content"),
        "metadata": ("PUT", path, changed("x-amz-meta-a", "2"), b"content"),
        "type": ("PUT", path, changed("content-type", "text/html"), b"content"),
        "host": ("PUT", path, changed("host", f"localhost:{url.rsplit(':')[-1]}"), b"content"),
        "added": ("PUT", path, [*good, ("x-amz-acl", "public-read")], b"content"),
        "copied": ("PUT", path, [*good, ("x-amz-copy-source", f"/{bucket}/x")], b"content"),
        "hash": ("PUT", path, changed("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), b"content"),
        "body": ("PUT", path, good, b"another"),
        "longer": ("PUT", path, good, b"content and more"),
        "empty": ("PUT", path, [*good, ("content-length", "0")], b""),
    }
    refused = {name: send(url, *each) for name, each in tries.items()}
    assert {name: each.status for name, each in refused.items() if each.status < 400} == {}
    for name in ("body", "longer", "empty"):
        assert "<Code>XAmzContentSHA256Mismatch</Code>" in refused[name].text
    assert "signed" not in names(platform, bucket)
    assert send(url, "PUT", path, good, b"content").status == 200


@pytest.mark.holds("The body of an operation is the one that was signed, with or without its hash.")
@pytest.mark.parametrize("with_hash", [False, True])
def test_the_body_of_an_operation_is_the_signed_one(
    platform: LocalPlatform, with_hash: bool
) -> None:
    url = platform.endpoint_url
    digest = hashlib.sha256(b"{}").hexdigest() if with_hash else ""
    request = tables(platform.credentials, payload=digest)
    answer = send(url, "POST", "/", request.signed(url), b'{"Limit":1}')
    assert answer.status == 403
    assert "InvalidSignatureException" in answer.text
    assert send(url, "POST", "/", request.signed(url), b"{}").status == 200
    open_body = tables(platform.credentials, payload="UNSIGNED-PAYLOAD")
    assert open_body.send(url).status == 403


@pytest.mark.holds("A request that says one thing of its signature twice is refused.")
def test_a_doubled_signature_is_refused(platform: LocalPlatform, bucket: str) -> None:
    url, key = platform.endpoint_url, platform.credentials
    request = identity(key)
    good = request.signed(url)
    mine = dict(good)["Authorization"]
    refused = {
        "header": [*good, ("Authorization", mine)],
        "date": [*good, ("X-Amz-Date", dict(good)["x-amz-date"])],
        "field": [*good[:-1], ("Authorization", f"{mine}, {mine.rpartition(', ')[2]}")],
        "scope": [*good[:-1], ("Authorization", f"{mine}, Credential=AKIA/2/us-east-1/sts/x")],
        "host": [*good, ("Host", "evil.example")],
    }
    for headers in refused.values():
        assert 400 <= send(url, "POST", "/", headers, request.body).status < 500
    link = Request(key, "s3", path=f"/{bucket}").presigned(url)
    assert send(url, "GET", link).status == 200
    value = link.rpartition("=")[2]
    signed = Request(key, "s3", path=f"/{bucket}").signed(url)
    for target, headers in (
        (f"{link}&X-Amz-Signature={value}", []),
        (f"{link}&x-amz-credential=AKIAX/20260101/us-east-1/s3/aws4_request", []),
        (f"{link}&AWSAccessKeyId=AKIAX", []),
        (link, signed),
    ):
        assert 400 <= send(url, "GET", target, headers).status < 500


@pytest.mark.holds("Date, region, service and end of a credential's scope must be right.")
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"day": "20200101"}, "AuthorizationHeaderMalformed"),
        ({"region": "eu-west-1"}, "AuthorizationHeaderMalformed"),
        ({"terminator": "aws3_request"}, "AuthorizationHeaderMalformed"),
        ({"age": timedelta(minutes=16)}, "RequestTimeTooSkewed"),
        ({"age": timedelta(minutes=-16)}, "RequestTimeTooSkewed"),
        ({"unsigned": ["host"]}, "AccessDenied"),
        ({"unsigned": ["x-amz-content-sha256"]}, "AccessDenied"),
        ({"headers": [("content-type", "a/b")], "unsigned": ["content-type"]}, "AccessDenied"),
        ({"headers": [("content-md5", "x")], "unsigned": ["content-md5"]}, "AccessDenied"),
        ({"payload": "anything"}, "InvalidArgument"),
        ({"headers": [("x-amz-checksum-crc32", "AAAAAA==")]}, "BadDigest"),
        ({"headers": [("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")]}, "BadDigest"),
    ],
)
def test_what_a_signature_says_is_checked(
    platform: LocalPlatform, bucket: str, wrong: dict[str, Any], code: str
) -> None:
    answer = put(platform.credentials, bucket, "wrong", **wrong).send(platform.endpoint_url)
    assert answer.status in (400, 403)
    assert f"<Code>{code}</Code>" in answer.text
    assert "wrong" not in names(platform, bucket)


@pytest.mark.holds("What is signed for one service is refused by every other.")
def test_a_signature_is_for_one_service(platform: LocalPlatform, bucket: str) -> None:
    url, key = platform.endpoint_url, platform.credentials
    target = [("content-type", JSON), ("x-amz-target", "DynamoDB_20120810.ListTables")]
    for service in ("s3", "kms", "sagemaker"):
        request = Request(key, service, "POST", headers=[*target], body=b"{}")
        answer = request.send(url)
        assert answer.status == 403, service
        assert "correct service" in answer.text
    # Signed for another service, the path of an object is no object.
    answer = Request(key, "iam", "PUT", f"/{bucket}/elsewhere", body=b"x").send(url)
    assert answer.status >= 400
    assert "elsewhere" not in names(platform, bucket)


@pytest.mark.holds("A link is good for its time, a week at most, and for what it names alone.")
def test_a_link_ends_and_opens_nothing_else(platform: LocalPlatform, bucket: str) -> None:
    url, key = platform.endpoint_url, platform.credentials
    platform.client("s3").put_object(Bucket=bucket, Key="linked", Body=b"v")
    link = Request(key, "s3", path=f"/{bucket}/linked")
    assert send(url, "GET", link.presigned(url)).body == b"v"
    for expires in (0, -1, 604_801, "x", "1e3", ""):
        answer = send(url, "GET", link.presigned(url, expires))
        assert "AuthorizationQueryParametersError" in answer.text, expires
    old = Request(key, "s3", path=f"/{bucket}/linked", age=timedelta(minutes=2))
    assert "Request has expired" in send(url, "GET", old.presigned(url, 60)).text
    assert send(url, "GET", link.presigned(url).replace("linked", "other")).status == 403
    assert send(url, "DELETE", link.presigned(url)).status == 403
    assert send(url, "GET", f"{link.presigned(url)}&versionId=x").status == 403
    assert send(url, "GET", link.presigned(url), [("x-amz-acl", "private")]).status == 403
    # A link of S3 opens no other door, whatever its path looks like.
    for path in ("/latest/meta-data/iam/security-credentials/", "/v1/apis", "/oauth2/token"):
        answer = send(url, "GET", Request(key, "s3", path=path).presigned(url))
        assert (answer.status, "<Code>NoSuch" in answer.text) == (404, True), path


def chunked(request: Request, url: str, parts: list[bytes], spoil: str = "") -> Answer:
    """Send a body in signed chunks; `spoil` names what is wrong."""
    content = b"".join(parts)
    request.payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    length = len(content) + (1 if spoil == "length" else 0)
    request.headers = [
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", str(length)),
    ]
    headers = request.signed(url)
    timestamp = dict(headers)["x-amz-date"]
    previous = dict(headers)["Authorization"].rpartition("=")[2]
    key, empty = request.signing_key(timestamp), hashlib.sha256(b"").hexdigest()
    scope = f"{timestamp[:8]}/us-east-1/s3/aws4_request"
    body = b""
    for part in [*parts, b""]:
        hashed = hashlib.sha256(part).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", timestamp, scope, previous, empty, hashed])
        previous = sign(key, text)
        sent = part.swapcase() if spoil == "chunk" else part
        if not part and spoil == "end":
            break
        body += f"{len(part):x};chunk-signature={previous}\r\n".encode() + sent + b"\r\n"
    return send(url, "PUT", request.path, headers, body)


@pytest.mark.holds("A body in signed chunks is complete, and each chunk is the signed one.")
def test_each_chunk_of_a_body_is_the_signed_one(platform: LocalPlatform, bucket: str) -> None:
    url, s3 = platform.endpoint_url, platform.client("s3")
    parts = [b"a" * 70_000, b"b" * 5]
    for spoil in ("chunk", "end", "length"):
        answer = chunked(put(platform.credentials, bucket, "chunks"), url, parts, spoil)
        assert 400 <= answer.status < 500, spoil
    assert "chunks" not in names(platform, bucket)
    assert chunked(put(platform.credentials, bucket, "chunks"), url, parts).status == 200
    found = s3.get_object(Bucket=bucket, Key="chunks")["Body"].read()
    assert found == b"".join(parts)


@pytest.mark.holds("A body whose checksum follows it is compared with it.")
def test_a_checksum_that_follows_the_body_is_compared(platform: LocalPlatform, bucket: str) -> None:
    url = platform.endpoint_url
    right = base64.b64encode(zlib.crc32(b"content").to_bytes(4, "big")).decode()

    def with_trailer(line: str) -> Answer:
        headers = [
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "7"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
        ]
        payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        request = put(platform.credentials, bucket, "trailed", headers=headers, payload=payload)
        body = f"7\r\ncontent\r\n0\r\n{line}\r\n\r\n" if line else "7\r\ncontent\r\n0\r\n\r\n"
        return send(url, "PUT", request.path, request.signed(url), body.encode())

    for line in (
        "x-amz-checksum-crc32:AAAAAA==",
        "",
        "x-amz-meta-a:1",
        f"x-amz-checksum-crc32:{right}\r\nx-amz-meta-a:1",
    ):
        assert with_trailer(line).status == 400, line
    assert "trailed" not in names(platform, bucket)
    assert with_trailer(f"x-amz-checksum-crc32:{right}").status == 200


@pytest.mark.holds("Secrets of a function cannot be derived from its name.")
def test_the_credentials_of_a_function_cannot_be_guessed(platform: LocalPlatform) -> None:
    iam, functions, name = platform.client("iam"), platform.client("lambda"), "guessed-function"
    trust = json.dumps(TRUST).replace("sagemaker.", "lambda.")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    code = zipped("def handler(event, context): return 1")
    found = functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role,
        Handler="index.handler",
        Code={"ZipFile": code},
    )
    try:
        # Its credentials are made when it first runs.
        assert functions.invoke(FunctionName=name)["Payload"].read() == b"1"
        digest = hashlib.sha256(f"{found['FunctionArn']}:{role}".encode()).hexdigest()
        secret, token = (
            hashlib.sha256(f"{part}:{digest}".encode()).hexdigest() for part in ("secret", "token")
        )
        key = Key(f"ASIA{digest[:16].upper()}", secret)
        answer = identity(key, token=token).send(platform.endpoint_url)
        assert (answer.status, "InvalidClientTokenId" in answer.text) == (403, True)
    finally:
        functions.delete_function(FunctionName=name)
        iam.delete_role(RoleName=name)


@pytest.mark.holds("A session's key is nothing without its own token.")
def test_a_session_needs_its_token(platform: LocalPlatform, stranger: Key) -> None:
    url, sts = platform.endpoint_url, platform.client("sts")
    made = sts.get_session_token()["Credentials"]
    key = Key(made["AccessKeyId"], made["SecretAccessKey"])
    assert identity(key, token=made["SessionToken"]).send(url).status == 200
    for token in ("", made["SessionToken"][:-1]):
        assert identity(key, token=token).send(url).status == 403
    assert identity(stranger, token=made["SessionToken"]).send(url).status == 403
    late = identity(key).signed(url)
    late.insert(-1, ("x-amz-security-token", made["SessionToken"]))
    assert send(url, "POST", "/", late, identity(key).body).status == 403


def refused_by_head(platform: LocalPlatform) -> dict[str, Callable[[], list[tuple[str, str]]]]:
    """Heads that are refused, whatever follows them."""
    url = platform.endpoint_url
    wrong = Key(platform.credentials.access_key, "wrong")
    return {
        "unsigned": lambda: [("content-type", JSON)],
        "unknown": lambda: put(Key("test", "test"), "b").signed(url),
        "secret": lambda: put(wrong, "b").signed(url),
        "skewed": lambda: put(platform.credentials, "b", age=timedelta(hours=1)).signed(url),
    }


@pytest.mark.holds("A refusal comes before the body: none of it is kept, and none is inflated.")
@pytest.mark.parametrize("head", ["unsigned", "unknown", "secret", "skewed"])
def test_a_refusal_does_not_wait_for_the_body(platform: LocalPlatform, head: str) -> None:
    url = platform.endpoint_url
    headers = refused_by_head(platform)[head]()
    # Of a hundred gigabytes, the first bytes: who waits for the others never answers.
    announced = [*headers, ("content-length", "99999999999"), ("content-encoding", "gzip")]
    answer = send(url, "PUT", "/b/k", announced, b"x" * 10)
    assert answer.status == 403 or "EntityTooLarge" in answer.text
    assert answer.headers["connection"] == "close"


@pytest.mark.holds("A body is never larger than its service takes, before and after inflating.")
def test_a_bomb_costs_nothing(platform: LocalPlatform) -> None:
    url = platform.endpoint_url
    small = gzip.compress(b"{" + b" " * 1000 + b"}")
    bomb = gzip.compress(bytes(64 << 20))
    double = gzip.compress(bytes(10 << 20)) * 2
    encoded = [("content-encoding", "gzip")]
    assert tables(platform.credentials, body=small, headers=encoded).send(url).status == 200
    for body in (bomb, double):
        answer = tables(platform.credentials, body=body, headers=encoded).send(url)
        assert answer.status == 413
        assert "RequestEntityTooLarge" in answer.text
    for body in (small[:-9], b"no gzip"):
        answer = tables(platform.credentials, body=body, headers=encoded).send(url)
        assert answer.status == 400
    # What is open to everybody takes no body, and S3 no document of a gigabyte.
    assert send(url, "GET", "/_smp/ready", body=b"x").status == 413
    document = Request(platform.credentials, "s3", "POST", "/b", "delete").signed(url)
    answer = send(url, "POST", "/b?delete", [*document, ("content-length", str(1 << 30))], b"x")
    assert "EntityTooLarge" in answer.text
    head = [*tables(platform.credentials).signed(url), ("content-length", str(20 << 20))]
    assert send(url, "POST", "/", head, b"{").status == 413
