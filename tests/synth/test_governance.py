import pytest
from aws_cdk.assertions import Match, Template


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
    (role,) = template.find_resources("AWS::IAM::Role").values()
    (policy,) = role["Properties"]["Policies"]
    actions = {
        statement["Sid"]: statement["Action"] for statement in policy["PolicyDocument"]["Statement"]
    }
    assert actions == {
        "KeepLogs": ["logs:CreateLogGroup", "logs:PutRetentionPolicy"],
        "ReadRetention": "logs:DescribeLogGroups",
        "WriteLog": ["logs:CreateLogStream", "logs:PutLogEvents"],
    }
