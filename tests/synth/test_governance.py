from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from common import quota_event
from quotas import aws, table
from tests.synth.conftest import declare

WATCHED = [
    "ml.m5.xlarge for training job usage",
    "Number of instances across all training jobs",
    "ml.g5.xlarge for endpoint usage",
    "ml.m5.large for endpoint usage",
    "Number of instances across active endpoints",
    "ml.m5.xlarge for notebook instance usage",
    "ml.t3.medium for notebook instance usage",
    "Total number of notebook instances",
]


def _statements(template: Template, role: str) -> list[dict[str, Any]]:
    """What the role whose id begins so may do."""
    roles = template.find_resources("AWS::IAM::Role")
    (found,) = [each for name, each in roles.items() if name.startswith(role)]
    (policy,) = found["Properties"]["Policies"]
    statements: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return statements


def _allowed(template: Template, role: str) -> dict[str, Any]:
    return {each["Sid"]: each["Action"] for each in _statements(template, role)}


def _alarms(template: Template) -> dict[str, dict[str, Any]]:
    """The alarms of quotas, by the quota's name."""
    found = template.find_resources(
        "AWS::CloudWatch::Alarm", {"Properties": {"Namespace": aws.NAMESPACE}}
    )
    return {each["Properties"]["MetricName"]: each["Properties"] for each in found.values()}


@pytest.fixture(scope="module")
def template(templates: dict[str, Template]) -> Template:
    return templates["governance"]


def test_what_is_told_is_encrypted_and_travels_by_tls_only(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SNS::Topic",
        {
            "KmsMasterKeyId": Match.object_like(
                {
                    "Fn::GetStackOutput": Match.object_like(
                        {"StackName": "sagemaker-platform-test-storage"}
                    )
                }
            )
        },
    )
    template.has_resource_properties(
        "AWS::SNS::TopicPolicy",
        {
            "PolicyDocument": {
                "Statement": Match.array_with(
                    [
                        Match.object_like(
                            {
                                "Effect": "Deny",
                                "Action": "sns:Publish",
                                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                            }
                        )
                    ]
                )
            }
        },
    )


def test_only_alarms_of_this_account_publish_by_the_topics_policy(
    template: Template,
) -> None:
    (policy,) = template.find_resources("AWS::SNS::TopicPolicy").values()
    allowed = [
        statement
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert [(s["Principal"], s["Condition"]) for s in allowed] == [
        (
            {"Service": "cloudwatch.amazonaws.com"},
            {"StringEquals": {"aws:SourceAccount": "111122223333"}},
        )
    ]


def test_whoever_is_on_call_is_told_by_mail(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SNS::Subscription", {"Protocol": "email", "Endpoint": "on-call@example.com"}
    )


def test_the_topic_is_published_for_others(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SSM::Parameter", {"Name": "/sagemaker-platform/test/governance/topic-arn"}
    )


def test_the_logs_that_sagemaker_writes_are_kept_as_long_as_the_environment_says(
    template: Template,
) -> None:
    template.has_resource_properties(
        "Custom::LogRetention",
        {
            "Days": 30,
            "LogGroups": [
                "/aws/sagemaker/NotebookInstances",
                "/aws/sagemaker/ProcessingJobs",
                "/aws/sagemaker/TrainingJobs",
                "/aws/sagemaker/TransformJobs",
                "/aws/sagemaker/Endpoints/sagemaker-platform-test-digits",
                "/aws/sagemaker/Endpoints/sagemaker-platform-test-pinned",
            ],
        },
    )


def test_whoever_keeps_logs_can_neither_read_nor_delete_them(template: Template) -> None:
    assert _allowed(template, "SharedLogs") == {
        "KeepLogs": ["logs:CreateLogGroup", "logs:PutRetentionPolicy"],
        "ReadRetention": "logs:DescribeLogGroups",
        "WriteLog": ["logs:CreateLogStream", "logs:PutLogEvents"],
    }


def test_every_quota_that_the_environment_needs_has_an_alarm_before_it_is_hit(
    template: Template,
) -> None:
    alarms = _alarms(template)
    assert set(alarms) == set(WATCHED)
    for name, alarm in alarms.items():
        assert (alarm["Threshold"], alarm["Statistic"]) == (80, "Maximum")
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["Dimensions"] == [{"Name": "Environment", "Value": "test"}]
        assert name in alarm["AlarmDescription"]
        assert f"--quota-code {table.codes()[name]}" in alarm["AlarmDescription"]
        assert alarm["AlarmActions"]
        assert "OKActions" not in alarm
    measures = {"Handler": "quotas.handlers.measure.lambda_handler"}
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {
            **measures,
            "Environment": {
                "Variables": Match.object_like(
                    {"ENVIRONMENT_NAME": "test", "QUOTAS": Match.serialized_json(WATCHED)}
                )
            },
        },
    )


def test_the_environment_file_says_at_which_percentage_it_is_told(
    environment: Mapping[str, Any], functions: Path
) -> None:
    governance = {**environment["governance"], "quota_alert_percent": 50}
    without = {**environment, "endpoints": {}, "notebooks": {}, "governance": governance}
    alarms = _alarms(Template.from_stack(declare(without, functions)["governance"]))
    assert {name: alarm["Threshold"] for name, alarm in alarms.items()} == dict.fromkeys(
        WATCHED[:2], 50
    )


def test_whoever_tells_hears_of_every_way_to_hit_a_quota(template: Template) -> None:
    rules = [
        each["Properties"]["EventPattern"]
        for each in template.find_resources("AWS::Events::Rule").values()
        if "EventPattern" in each["Properties"]
    ]
    stacks = "arn:aws:cloudformation:eu-west-1:111122223333:stack/sagemaker-platform-test-"
    assert {
        "source": ["aws.cloudformation"],
        "detail-type": ["CloudFormation Resource Status Change"],
        "detail": {
            "stack-id": [{"prefix": stacks}],
            "resource-type": ["AWS::SageMaker::Endpoint", "AWS::SageMaker::NotebookInstance"],
            "status-details": {"status": ["CREATE_FAILED", "UPDATE_FAILED"]},
        },
    } in rules
    assert {
        "source": [quota_event.SOURCE],
        "detail-type": [quota_event.DETAIL_TYPE],
        "detail": {"environment": ["test"]},
    } in rules
    assert {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Endpoint State Change"],
        "detail": {
            "EndpointName": [{"prefix": "sagemaker-platform-test-"}],
            "EndpointStatus": ["FAILED"],
        },
    } in rules


def test_whoever_measures_only_reads_and_whoever_tells_only_tells(template: Template) -> None:
    log = {"WriteLog": ["logs:CreateLogStream", "logs:PutLogEvents"]}
    assert _allowed(template, "QuotasMeasure") == log | {
        "ReadLimits": ["servicequotas:GetAWSDefaultServiceQuota", "servicequotas:GetServiceQuota"],
        "ListUse": [
            "sagemaker:ListEndpoints",
            "sagemaker:ListNotebookInstances",
            "sagemaker:ListTrainingJobs",
        ],
        "DescribeUse": [
            "sagemaker:DescribeEndpoint",
            "sagemaker:DescribeEndpointConfig",
            "sagemaker:DescribeTrainingJob",
        ],
        "PublishUse": "cloudwatch:PutMetricData",
    }
    assert _allowed(template, "QuotasTell") == log | {
        "Remember": ["dynamodb:DeleteItem", "dynamodb:PutItem"],
        "RememberKey": "kms:Decrypt",
        "TellTopic": "sns:Publish",
        "TellTopicKey": ["kms:Decrypt", "kms:GenerateDataKey"],
    }
    (publish,) = [
        each for each in _statements(template, "QuotasMeasure") if each["Sid"] == "PublishUse"
    ]
    assert publish["Condition"] == {"StringEquals": {"cloudwatch:namespace": aws.NAMESPACE}}


def test_the_table_of_what_was_told_forgets_and_is_encrypted(template: Template) -> None:
    template.has_resource_properties(
        "AWS::DynamoDB::Table",
        {
            "SSESpecification": Match.object_like({"SSEEnabled": True, "SSEType": "KMS"}),
            "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        },
    )
