"""What a request is evaluated as"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.emulator import authorized_operation
from tests.platform import LocalPlatform
from tests.security.iam_support import Principals, User, allow, principals_of

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def principals(platform: LocalPlatform) -> Iterator[Principals]:
    yield from principals_of(platform)


def sent(
    platform: LocalPlatform,
    user: User,
    service: str,
    path: str,
    *,
    body: bytes = b"",
    method: str = "POST",
    **headers: str,
) -> int:
    """The status of a request that is signed as it stands, whatever an SDK would say to it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, platform.endpoint_url + path, data=body, headers=named)
    key = user.credentials
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(
        Credentials(key["aws_access_key_id"], key["aws_secret_access_key"]), service, "us-east-1"
    ).add_auth(request)
    signed = {name: str(value) for name, value in request.headers.items()}
    url = platform.endpoint_url + path
    plain = urllib.request.Request(url, body, signed, method=method)
    try:
        with urllib.request.urlopen(plain) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.holds(
    "An action that is named where its service does not look is not what is evaluated."
)
def test_a_harmless_action_in_the_wrong_place_opens_nothing(
    platform: LocalPlatform, principals: Principals
) -> None:
    name = f"iam-{uuid4().hex[:8]}"
    platform.client("s3").create_bucket(Bucket=name)
    user = principals.user(allow(["s3:GetObject", "states:List*", "kms:List*", "lambda:List*"]))

    def ask(service: str, path: str, **more: Any) -> int:
        return sent(platform, user, service, path, **more)

    assert ask("s3", f"/{name}/k?Action=GetObject", method="PUT", body=b"1") == 403
    assert ask("s3", f"/{name}/k", method="PUT", body=b"1", X_Amz_Target="A.GetObject") == 403
    key = {"X_Amz_Target": "TrentService.CreateKey", "Content_Type": "application/x-amz-json-1.1"}
    assert ask("kms", "/?Action=ListKeys", body=b"{}", **key) == 403
    assert ask("kms", "/", body=b"{}", **{**key, "X_Amz_Target": "TrentService.ListKeys"}) == 200
    machine = {**key, "X_Amz_Target": "AWSStepFunctions.CreateActivity"}
    activity = json.dumps({"name": name}).encode()
    assert ask("states", "/?Action=ListActivities", body=activity, **machine) == 403
    code = json.dumps({"FunctionName": name}).encode()
    assert ask("lambda", "/2015-03-31/functions?Action=ListFunctions", body=code) == 403
    alias = f"/2015-03-31/functions/{name}/aliases/one"
    assert ask("lambda", alias, method="DELETE") == 403
    assert ask("lambda", f"{alias}?Action=ListAliases", method="DELETE") == 403


@pytest.mark.holds("A request whose form contradicts its query is refused.")
def test_a_form_may_not_contradict_the_query(
    platform: LocalPlatform, principals: Principals
) -> None:
    user, victim = principals.user(), principals.user()
    user.may(allow("iam:ListUsers"), allow("iam:*AccessKey*", user.arn))

    def ask(query: dict[str, str], form: dict[str, str], kind: str = FORM) -> int:
        path = f"/?{urlencode(query)}" if query else "/"
        body = urlencode({"Version": "2010-05-08", **form}).encode()
        return sent(platform, user, "iam", path, body=body, Content_Type=kind)

    create = {"Action": "CreateAccessKey", "UserName": victim.name}
    assert ask({}, create) == 403
    for kind in (FORM, "text/plain"):
        assert ask({"Action": "ListUsers"}, create, kind) in (400, 403)
        assert ask({"UserName": user.name}, create, kind) in (400, 403)
        assert ask({**create, "UserName": user.name}, create, kind) in (400, 403)
    assert len(principals.iam.list_access_keys(UserName=victim.name)["AccessKeyMetadata"]) == 1
    assert ask({}, {"Action": "ListUsers"}) == 200


@pytest.mark.holds("An operation that cannot be told is allowed by no policy that names actions.")
def test_an_operation_that_cannot_be_told_is_refused(
    platform: LocalPlatform, principals: Principals
) -> None:
    user = principals.user(allow(["kms:L*", "lambda:L*", "sqs:L*", "iam:L*"]))
    for service, path in (("kms", "/"), ("lambda", "/2015-03-31/no/such/path"), ("iam", "/")):
        assert sent(platform, user, service, path, body=b"x") in (400, 403)


@pytest.mark.holds("Bucket and key are read from a path as S3 reads them.")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/b/a/x", ("b", "a/x")),
        ("/b/a//x", ("b", "a//x")),
        ("/b//x", ("b", "/x")),
        ("/b/a/", ("b", "a/")),
        ("/b/", ("b", "")),
        ("/b", ("b", "")),
    ],
)
def test_bucket_and_key(path: str, expected: tuple[str, str]) -> None:
    assert authorized_operation.bucket_and_key(path) == expected


@pytest.mark.holds("A parameter is given once, or with one value.")
@pytest.mark.parametrize(
    ("body", "query", "expected"),
    [
        (b"Action=A&UserName=u", {}, ""),
        (b"Action=A", {"Action": ["A"]}, ""),
        (b"Action=A", {"Action": ["B"]}, "Action"),
        (b"Action=A&Action=B", {}, "Action"),
        (b"", {"Action": ["A", "B"]}, "Action"),
        (b'{"RoleArn": "r"}', {"RoleArn": ["s"]}, "RoleArn"),
        (b'{"Tags": ["a", "b"]}', {}, ""),
    ],
)
def test_contradictions(body: bytes, query: dict[str, Any], expected: str) -> None:
    assert authorized_operation.contradiction(body, query) == expected
