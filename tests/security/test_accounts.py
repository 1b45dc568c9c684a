"""Accounts: what belongs to one is closed to the others, and root is nobody outside."""

import json
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.platform import LocalPlatform
from tests.security.conftest import Key
from tests.security.wire import Request

OTHER = "111122223333"
# Services that keep nothing of a further account.
SINGLE = (
    "sagemaker",
    "servicequotas",
    "application-autoscaling",
    "cloudformation",
    "states",
    "ecr",
)


def client(platform: LocalPlatform, variables: dict[str, str], service: str) -> Any:
    make: Any = boto3.session.Session().client
    return make(
        service,
        region_name="us-east-1",
        endpoint_url=platform.endpoint_url,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 0}),
    )


@pytest.mark.holds("`smp env --account ID` gives a further account's own administrator, once.")
def test_a_further_account_has_its_own_administrator(
    platform: LocalPlatform, other_account: dict[str, str]
) -> None:
    who = client(platform, other_account, "sts").get_caller_identity()
    assert who["Arn"] == f"arn:aws:iam::{OTHER}:user/smp-administrator"
    again = platform.smp("env", "--account", OTHER, "--format", "json")
    assert json.loads(again.stdout) == other_account
    kept = platform.home / "accounts" / f"{OTHER}.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    for wrong in ("1", "1111222233334", "../../x", "x" * 12, "\uff11" * 12):
        result = platform.smp("env", "--account", wrong)
        assert (result.returncode != 0, "Traceback" in result.stderr) == (True, False), wrong
        assert "Name one of twelve digits" in result.stderr, wrong
        body = json.dumps({"account": wrong}).encode()
        told = Request(platform.credentials, "smp", "POST", "/_smp/accounts", body=body)
        assert told.send(platform.endpoint_url).status == 400, wrong
    own = platform.smp("env", "--account", "000000000000", "--format", "json")
    assert json.loads(own.stdout)["AWS_ACCESS_KEY_ID"] == platform.credentials.access_key


@pytest.mark.holds("A caller of another account reaches no service that has only the first.")
@pytest.mark.parametrize("service", SINGLE)
def test_another_account_is_refused_where_there_is_one(
    platform: LocalPlatform, other_account: dict[str, str], service: str
) -> None:
    key = Key(other_account["AWS_ACCESS_KEY_ID"], other_account["AWS_SECRET_ACCESS_KEY"])
    answer = Request(key, service, "POST", body=b"{}").send(platform.endpoint_url)
    assert (answer.status, "000000000000 alone" in answer.text) == (403, True)


@pytest.mark.holds("A caller of another account neither reads nor changes what is this account's.")
def test_another_account_reaches_nothing_of_this_one(
    platform: LocalPlatform, other_account: dict[str, str]
) -> None:
    name = f"mine-{uuid4().hex[:8]}"
    queue = platform.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    topic = platform.client("sns").create_topic(Name=name)["TopicArn"]
    key = platform.client("kms").create_key()["KeyMetadata"]["Arn"]
    secret = platform.client("secretsmanager").create_secret(Name=name, SecretString="s")["ARN"]
    s3 = platform.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"v")
    function = platform.client("lambda").list_functions()["Functions"][0]["FunctionArn"]
    role = platform.client("iam").list_roles()["Roles"][0]["Arn"]
    other = {
        each: client(platform, other_account, each)
        for each in ("s3", "sqs", "sns", "kms", "secretsmanager", "lambda", "sts", "iam", "logs")
    }
    endpoint = client(platform, other_account, "sagemaker-runtime")
    tries: dict[str, Callable[[], Any]] = {
        "object": lambda: other["s3"].get_object(Bucket=name, Key="k"),
        "put": lambda: other["s3"].put_object(Bucket=name, Key="k", Body=b"x"),
        "bucket": lambda: other["s3"].delete_bucket(Bucket=name),
        "queue": lambda: other["sqs"].receive_message(QueueUrl=queue),
        "send": lambda: other["sqs"].send_message(QueueUrl=queue, MessageBody="x"),
        "topic": lambda: other["sns"].publish(TopicArn=topic, Message="x"),
        "key": lambda: other["kms"].encrypt(KeyId=key, Plaintext=b"x"),
        "secret": lambda: other["secretsmanager"].get_secret_value(SecretId=secret),
        "function": lambda: other["lambda"].invoke(FunctionName=function),
        "role": lambda: other["sts"].assume_role(RoleArn=role, RoleSessionName="me"),
        "user": lambda: other["iam"].delete_user(UserName="nobody-of-this-account"),
        "invoke": lambda: endpoint.invoke_endpoint(
            EndpointName="sagemaker-platform-local-digits", Body=b"1", ContentType="text/csv"
        ),
    }
    got_through = {}
    for what, attempt in tries.items():
        try:
            got_through[what] = attempt()
        except ClientError:
            continue
    try:
        assert got_through == {}
        assert other["iam"].list_roles()["Roles"] == []
        assert other["s3"].list_buckets()["Buckets"] == []
        assert other["logs"].describe_log_groups()["logGroups"] == []
        assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"v"
    finally:
        s3.delete_object(Bucket=name, Key="k")
        s3.delete_bucket(Bucket=name)
        platform.client("sqs").delete_queue(QueueUrl=queue)
        platform.client("sns").delete_topic(TopicArn=topic)
        platform.client("secretsmanager").delete_secret(
            SecretId=secret, ForceDeleteWithoutRecovery=True
        )
        platform.client("kms").schedule_key_deletion(KeyId=key, PendingWindowInDays=7)


@pytest.mark.holds("Root's key stands in no environment and in no file of the platform.")
def test_the_root_key_is_nowhere_outside_of_the_server(platform: LocalPlatform) -> None:
    (record,) = [json.loads((platform.home / "server.json").read_text())]
    server = psutil.Process(record["pid"])
    administrator = platform.credentials.access_key
    keys = re.compile(rb"AKIA[0-9A-F]{16}")
    for process in (server, *server.children(recursive=True)):
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
        except OSError:
            continue
        assert keys.findall(environment) == []
        assert b"AWS_SECRET_ACCESS_KEY=test" not in environment
    # What the server's children inherit is not what it was started with.
    for path in platform.home.glob("*.json"):
        assert {found.decode() for found in keys.findall(path.read_bytes())} <= {administrator}
    assert stat.S_IMODE((platform.home / "credentials.json").stat().st_mode) == 0o600


def test_the_environment_that_children_inherit_has_no_key(tmp_path: Path) -> None:
    from local.emulator import environment

    before = dict(os.environ)
    temporary = tempfile.tempdir
    try:
        os.environ["AWS_ACCESS_KEY_ID"] = "AKIAREAL"
        environment.prepare(environment.Settings(port=1, state=tmp_path))
        assert [n for n in os.environ if re.search("KEY|SECRET|TOKEN", n) and "AWS" in n] == []
        assert environment.ROOT_SECRET_KEY not in "".join(os.environ.values())
    finally:
        os.environ.clear()
        os.environ.update(before)
        tempfile.tempdir = temporary
