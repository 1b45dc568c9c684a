"""Whoever is on call hears of SageMaker's quotas before they are hit, and when they are."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

from sagemaker_constructs.function import PlatformFunction
from sagemaker_constructs.permission import Permission, encrypted, merged, permission, tell
from sagemaker_constructs.table import platform_table

NAMESPACE = "SageMakerPlatform/Quotas"
# A metric and its alarm have this time to agree in: it is measured once in each.
_EVERY = Duration.minutes(5)
_WHOLE_ACCOUNT = "The quota is the account's, so that whatever uses it counts, whoever made it."


class QuotaAlerts(Construct):
    """Two functions: one measures how far quotas are used, the other tells when one was hit.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        environment_name: Dimension of the metrics, and part of the events.
        prefix: What the names of the environment's stacks and endpoints begin with.
        quotas: Code of each quota that is watched, by its name.
        percent: Alarm when so much of a quota is used.
        topic: Where it is told.
        code_path: Folder that `make functions` stages.
        architecture: Processor that the folder was built for.
        key: Key of the topic, of logs and table.
        log_retention: How long the functions' logs are kept.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment_name: str,
        prefix: str,
        quotas: Mapping[str, str],
        percent: int,
        topic: sns.ITopic,
        code_path: Path,
        architecture: lambda_.Architecture,
        key: kms.IKey,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)

        def function(
            name: str,
            description: str,
            timeout: Duration,
            settings: Mapping[str, str],
            *permissions: Permission,
        ) -> PlatformFunction:
            made = PlatformFunction(
                self,
                name.capitalize(),
                code_path=code_path,
                handler=f"quotas.handlers.{name}.lambda_handler",
                description=description,
                architecture=architecture,
                key=key,
                statements=[one for each in permissions for one in each.statements],
                wildcards=merged(permissions),
                environment={"ENVIRONMENT_NAME": environment_name, **settings},
                timeout=timeout,
                log_retention=log_retention,
            )
            made.tell_of_failures(topic)
            return made

        measure = function(
            "measure",
            "Compares what is used of SageMaker's quotas with what is allowed",
            # It asks SageMaker about each job and endpoint of the account by itself.
            Duration.minutes(4),
            {"QUOTAS": json.dumps(list(quotas))},
            *self._may_measure(),
        )
        table = platform_table(self, "Told", key=key, retain=False)
        told = function(
            "tell",
            "Tells the topic that a quota was hit, and how to ask for more",
            # Shorter than the claim by which it tells once, see lambdas/quotas/told.py.
            Duration.seconds(30),
            {"TOPIC_ARN": topic.topic_arn, "TOLD_TABLE": table.table_name},
            encrypted(
                permission(
                    "Remember", ["dynamodb:PutItem", "dynamodb:DeleteItem"], [table.table_arn]
                ),
                key,
                "dynamodb",
                "kms:Decrypt",
            ),
            tell(topic, key),
        )
        events.Rule(
            self,
            "MeasureTime",
            description="Compares what is used of SageMaker's quotas with what is allowed",
            schedule=events.Schedule.rate(_EVERY),
            targets=[_target(measure)],
        )
        for name, description, pattern in _occasions(Stack.of(self), environment_name, prefix):
            events.Rule(
                self,
                name,
                description=description,
                event_pattern=pattern,
                targets=[_target(told)],
            )
        for name, code in quotas.items():
            self._alarm(name, code, environment_name, percent, topic)

    def _may_measure(self) -> list[Permission]:
        jobs, endpoints, configs = (
            Stack.of(self).format_arn(
                service="sagemaker",
                resource=resource,
                resource_name="*",
                arn_format=ArnFormat.SLASH_RESOURCE_NAME,
            )
            for resource in ("training-job", "endpoint", "endpoint-config")
        )
        return [
            permission(
                "ReadLimits",
                ["servicequotas:GetServiceQuota", "servicequotas:GetAWSDefaultServiceQuota"],
                ["*"],
                {
                    "*": "Reading a quota, listing what the account has, and writing metrics of "
                    "the namespace in the condition have no resource that a policy could name."
                },
            ),
            permission(
                "ListUse",
                [
                    "sagemaker:ListTrainingJobs",
                    "sagemaker:ListEndpoints",
                    "sagemaker:ListNotebookInstances",
                ],
                ["*"],
            ),
            permission(
                "DescribeUse",
                [
                    "sagemaker:DescribeTrainingJob",
                    "sagemaker:DescribeEndpoint",
                    "sagemaker:DescribeEndpointConfig",
                ],
                [jobs, endpoints, configs],
                dict.fromkeys((jobs, endpoints, configs), _WHOLE_ACCOUNT),
            ),
            permission(
                "PublishUse",
                ["cloudwatch:PutMetricData"],
                ["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
            ),
        ]

    def _alarm(
        self, name: str, code: str, environment_name: str, percent: int, topic: sns.ITopic
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            code,
            alarm_description=(
                f"{percent} % or more of the quota '{name}' ({code}) is used, or nothing of it is "
                "allowed. Ask for more: aws service-quotas request-service-quota-increase "
                f"--service-code sagemaker --quota-code {code} --desired-value NUMBER"
            ),
            metric=cloudwatch.Metric(
                namespace=NAMESPACE,
                metric_name=name,
                statistic="Maximum",
                period=_EVERY,
                dimensions_map={"Environment": environment_name},
            ),
            threshold=percent,
            comparison_operator=(cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD),
            evaluation_periods=1,
            # A measurement that comes late says nothing; that none comes, another alarm says.
            treat_missing_data=cloudwatch.TreatMissingData.IGNORE,
        )
        # Nobody need do anything when there is room again, nor when it is measured at first.
        alarm.add_alarm_action(actions.SnsAction(topic))


def _occasions(
    stack: Stack, environment_name: str, prefix: str
) -> Sequence[tuple[str, str, events.EventPattern]]:
    """The events that may say that a quota was hit: id, description and pattern of their rules.

    The platform's functions send their own. What is deployed without them fails in CloudFormation,
    and an endpoint that finds its quota used up while it is made or changed fails by itself.
    """
    stacks = stack.format_arn(
        service="cloudformation", resource="stack", resource_name=f"{prefix}-"
    )
    with_instances = ["AWS::SageMaker::Endpoint", "AWS::SageMaker::NotebookInstance"]
    return [
        (
            "JobRefused",
            "A function of the platform met a quota",
            events.EventPattern(
                source=["sagemaker-platform"],
                detail_type=["SageMaker Resource Limit Exceeded"],
                detail={"environment": [environment_name]},
            ),
        ),
        (
            "ResourceFailed",
            "CloudFormation could not make or change what has instances",
            events.EventPattern(
                source=["aws.cloudformation"],
                detail_type=["CloudFormation Resource Status Change"],
                detail={
                    "stack-id": events.Match.prefix(stacks),
                    "resource-type": with_instances,
                    "status-details": {"status": ["CREATE_FAILED", "UPDATE_FAILED"]},
                },
            ),
        ),
        (
            "EndpointFailed",
            "An endpoint of the environment failed",
            events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Endpoint State Change"],
                detail={
                    "EndpointName": events.Match.prefix(f"{prefix}-"),
                    "EndpointStatus": ["FAILED"],
                },
            ),
        ),
    ]


def _target(called: PlatformFunction) -> targets.LambdaFunction:
    # No queue for what cannot be delivered: the next measurement shows the same quota used up.
    return targets.LambdaFunction(
        called.function, retry_attempts=3, max_event_age=Duration.hours(1)
    )
