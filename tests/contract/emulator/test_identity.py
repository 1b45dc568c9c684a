import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .conftest import ACCOUNT, Server, allow, eventually, zipped

HERE = f"arn:aws:iam::{ACCOUNT}:root"
ENDPOINT = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/who"


def model(role: str) -> dict[str, Any]:
    return {"ModelName": "who", "ExecutionRoleArn": role, "PrimaryContainer": {"Image": "i"}}


def test_a_call_of_sagemaker_is_evaluated_with_its_resource(server: Server) -> None:
    server.role("id-reader", "", allow("sagemaker:DescribeEndpoint", on=ENDPOINT), trust=HERE)
    sagemaker = server.assumed("sagemaker", "id-reader")
    with pytest.raises(ClientError, match="Could not find"):
        sagemaker.describe_endpoint(EndpointName="who")
    with pytest.raises(ClientError) as refused:
        sagemaker.describe_endpoint(EndpointName="other")
    assert refused.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": (
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/id-reader/test is not authorized to "
            f"perform: sagemaker:DescribeEndpoint on resource: "
            f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint/other because no identity-based "
            "policy allows the sagemaker:DescribeEndpoint action"
        ),
    }


def test_a_role_is_passed_only_by_who_may_pass_it_to_sagemaker(server: Server) -> None:
    role = server.role("id-passed", "sagemaker.amazonaws.com", allow("s3:GetObject"))
    create = allow("sagemaker:CreateModel")
    elsewhere = {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    here = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    server.role("id-passer", "", create, allow("iam:PassRole", on=role, **elsewhere), trust=HERE)
    with pytest.raises(ClientError, match="iam:PassRole"):
        server.assumed("sagemaker", "id-passer").create_model(**model(role))
    server.allow("id-passer", create, allow("iam:PassRole", on=role, **here))
    server.assumed("sagemaker", "id-passer").create_model(**model(role))


def test_invoking_is_told_apart_from_the_control_plane_and_evaluated(server: Server) -> None:
    server.role("id-caller", "", allow("sagemaker:InvokeEndpoint", on=ENDPOINT), trust=HERE)
    runtime = server.assumed("sagemaker-runtime", "id-caller")
    answer = runtime.invoke_endpoint(EndpointName="who", Body=b"abc", ContentType="text/csv")
    assert (answer["Body"].read(), answer["ContentType"]) == (b"cba", "text/csv")
    with pytest.raises(ClientError, match="sagemaker:InvokeEndpoint"):
        runtime.invoke_endpoint(EndpointName="other", Body=b"abc")


def test_a_wrong_signature_is_refused(server: Server) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="id-user")
    key = iam.create_access_key(UserName="id-user")["AccessKey"]["AccessKeyId"]
    sagemaker = server.client("sagemaker", aws_access_key_id=key, aws_secret_access_key="no")
    with pytest.raises(ClientError, match="signature"):
        sagemaker.describe_endpoint(EndpointName="who")


@pytest.mark.parametrize(
    "service",
    ["sagemaker", "s3", "sts", "cloudwatch", "application-autoscaling", "cloudformation"],
)
def test_no_service_knows_a_wrong_secret_or_a_stolen_token(server: Server, service: str) -> None:
    def ask(**credentials: str) -> None:
        client = server.client(service, **credentials)
        {
            "sagemaker": lambda: client.list_models(),
            "s3": lambda: client.list_buckets(),
            "sts": lambda: client.get_caller_identity(),
            "cloudwatch": lambda: client.list_metrics(),
            "application-autoscaling": lambda: client.describe_scalable_targets(
                ServiceNamespace="sagemaker"
            ),
            "cloudformation": lambda: client.list_stacks(),
        }[service]()

    if service != "sagemaker":  # the fake has no models to list
        ask()
    with pytest.raises(ClientError, match="signature we calculated"):
        ask(aws_secret_access_key="no")
    with pytest.raises(ClientError, match="token"):
        ask(aws_session_token="stolen")


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_link_to_an_object_needs_its_keys_secret(server: Server, version: str) -> None:
    bucket = f"id-links-{version}"
    server.client("s3").create_bucket(Bucket=bucket)
    server.client("s3").put_object(Bucket=bucket, Key="k", Body=b"v")

    def link(**secret: str) -> str:
        signing = Config(signature_version=version)
        s3 = server.client("s3", config=signing, **secret)
        params = {"Bucket": bucket, "Key": "k"}
        return str(s3.generate_presigned_url("get_object", Params=params))

    with urllib.request.urlopen(link()) as answer:
        assert answer.read() == b"v"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(link(aws_secret_access_key="no"))


def test_no_bucket_is_public(server: Server) -> None:
    server.client("s3").create_bucket(Bucket="id-private")
    server.client("s3").put_object(Bucket="id-private", Key="k", Body=b"v")
    for path in ("", "/id-private", "/id-private/k"):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{server.url}{path}", timeout=60)


def test_decisions_are_kept_with_principal_action_and_resource(server: Server) -> None:
    since = time.time()
    server.role("id-kept", "", allow("sns:ListTopics"), trust=HERE)
    server.assumed("sns", "id-kept").list_topics()
    with pytest.raises(ClientError):
        server.assumed("sqs", "id-kept").list_queues()
    query = urllib.parse.urlencode({"principal": "id-kept", "since": since})
    found = [(call["action"], call["allowed"]) for call in server.get(f"/_smp/calls?{query}")]
    assert found == [("sns:ListTopics", True), ("sqs:ListQueues", False)]


def test_a_rule_reaches_only_a_function_that_lets_events_in(server: Server) -> None:
    role = server.role("id-target", "lambda.amazonaws.com", allow("logs:*"))
    functions = server.client("lambda")
    arn = functions.create_function(
        FunctionName="id-target",
        Runtime="python3.13",
        Handler="index.handler",
        Role=role,
        Code={"ZipFile": zipped("def handler(event, context): print(event['detail']['n'])\n")},
    )["FunctionArn"]
    events = server.client("events")
    rule = events.put_rule(Name="id-rule", EventPattern=json.dumps({"source": ["test"]}))
    events.put_targets(Rule="id-rule", Targets=[{"Id": "1", "Arn": arn}])

    def send(number: int) -> None:
        entry = {"Source": "test", "DetailType": "t", "Detail": json.dumps({"n": number})}
        events.put_events(Entries=[entry])

    send(1111)
    functions.add_permission(
        FunctionName="id-target",
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule["RuleArn"],
    )
    send(2222)
    group = "/aws/lambda/id-target"

    def lines() -> list[str]:
        try:
            found = server.client("logs").filter_log_events(logGroupName=group)["events"]
        except ClientError:
            return []
        return [event["message"] for event in found]

    seen = eventually(lines, lambda found: any("2222" in line for line in found))
    assert not any("1111" in line for line in seen)


def test_metrics_are_confined_to_the_namespace_that_a_policy_names(server: Server) -> None:
    inside: dict[str, Any] = {"StringEquals": {"cloudwatch:namespace": "Mine"}}
    server.role("id-metrics", "", allow("cloudwatch:PutMetricData", **inside), trust=HERE)
    cloudwatch = server.assumed("cloudwatch", "id-metrics")
    data = [{"MetricName": "m", "Value": 1.0}]
    cloudwatch.put_metric_data(Namespace="Mine", MetricData=data)
    with pytest.raises(ClientError, match="cloudwatch:PutMetricData"):
        cloudwatch.put_metric_data(Namespace="Other", MetricData=data)


def test_events_are_confined_to_the_source_and_type_that_a_policy_names(server: Server) -> None:
    inside: dict[str, Any] = {
        "StringEquals": {"events:source": "mine", "events:detail-type": "Happened"}
    }
    bus = f"arn:aws:events:us-east-1:{ACCOUNT}:event-bus/default"
    server.role("id-events", "", allow("events:PutEvents", on=bus, **inside), trust=HERE)
    events = server.assumed("events", "id-events")
    mine = {"Source": "mine", "DetailType": "Happened", "Detail": "{}"}
    assert events.put_events(Entries=[mine, mine])["FailedEntryCount"] == 0
    for change in ({"Source": "yours"}, {"DetailType": "Else"}):
        for entries in ([mine | change], [mine, mine | change]):
            with pytest.raises(ClientError, match="events:PutEvents"):
                events.put_events(Entries=entries)
