import json
from typing import Any

from .conftest import Server, allow, eventually

TEMPLATE = """
Resources:
  Good:
    Type: AWS::SSM::Parameter
    Properties: {Name: cfn-events, Type: String, Value: v}
  Taken:
    Type: AWS::SageMaker::Model
    DependsOn: Good
    Properties: {ModelName: cfn-events, ExecutionRoleArn: ROLE}
"""


def test_what_becomes_of_a_resource_is_told_on_the_default_bus(server: Server) -> None:
    sqs, events = server.client("sqs"), server.client("events")
    queue = sqs.create_queue(QueueName="cfn-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    may_send = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn["QueueArn"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may_send]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    pattern = {
        "source": ["aws.cloudformation"],
        "detail": {
            "stack-id": [{"prefix": "arn:aws:cloudformation:us-east-1:000000000000:stack/"}]
        },
    }
    events.put_rule(Name="cfn-events", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="cfn-events", Targets=[{"Id": "queue", "Arn": arn["QueueArn"]}])
    role = server.role("cfn-events", "sagemaker.amazonaws.com", allow("s3:GetObject"))
    server.client("sagemaker").create_model(
        ModelName="cfn-events", ExecutionRoleArn=role, PrimaryContainer={"Image": "i"}
    )
    cloudformation = server.client("cloudformation")
    stack = cloudformation.create_stack(
        StackName="cfn-events", TemplateBody=TEMPLATE.replace("ROLE", role)
    )["StackId"]
    told: list[dict[str, Any]] = []

    def heard() -> list[dict[str, Any]]:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        told.extend(json.loads(one["Body"]) for one in answer.get("Messages", []))
        return told

    def of(logical_id: str, status: str) -> list[dict[str, Any]]:
        return [
            one
            for one in told
            if one["detail"]["logical-resource-id"] == logical_id
            and one["detail"]["status-details"]["status"] == status
        ]

    eventually(heard, lambda _: bool(of("Taken", "CREATE_FAILED")))
    (failed,) = of("Taken", "CREATE_FAILED")
    assert (failed["source"], failed["detail-type"], failed["resources"]) == (
        "aws.cloudformation",
        "CloudFormation Resource Status Change",
        [stack],
    )
    assert failed["detail"]["stack-id"] == stack
    assert failed["detail"]["resource-type"] == "AWS::SageMaker::Model"
    assert "already existing" in failed["detail"]["status-details"]["status-reason"]
    (made,) = of("Good", "CREATE_COMPLETE")
    assert made["detail"]["physical-resource-id"] == "cfn-events"
    events.remove_targets(Rule="cfn-events", Ids=["queue"])
    events.delete_rule(Name="cfn-events")
