"""A Lambda function that may do what it is told, and nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

from sagemaker_constructs.wildcards import acknowledge_wildcards


class PlatformFunction(Construct):
    """A Python function with a role, a log group and a retry policy of its own.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        code_path: Folder that `make functions` stages; all functions share it as one asset.
        handler: Module and function, such as `jobs.handlers.train.lambda_handler`.
        description: What it does, for whoever finds it in the console.
        architecture: Processor that the staged folder was built for.
        key: Key of the log group; its policy must let CloudWatch Logs use it.
        statements: All that its role may do beside writing its log.
        wildcards: Why a statement needs a wildcard, by resource as the statement has it.
        environment: Settings, which the handler validates at start.
        timeout: When AWS ends an invocation.
        log_retention: How long its log is kept.
    """

    function: lambda_.Function
    """The function itself."""

    role: iam.Role
    """What it acts with."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code_path: Path,
        handler: str,
        description: str,
        architecture: lambda_.Architecture,
        key: kms.IKey,
        statements: Sequence[iam.PolicyStatement],
        environment: Mapping[str, str],
        timeout: Duration,
        log_retention: logs.RetentionDays,
        wildcards: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        if not code_path.is_dir():
            raise ValueError(f"{code_path} does not exist: run `make functions` first")
        group = logs.LogGroup(
            self,
            "Logs",
            encryption_key=key,
            retention=log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        write_log = iam.PolicyStatement(
            sid="WriteLog",
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[group.log_group_arn],
        )
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=description,
            inline_policies={"own": iam.PolicyDocument(statements=[*statements, write_log])},
        )
        acknowledge_wildcards(self.role, wildcards or {})
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=architecture,
            code=lambda_.Code.from_asset(str(code_path)),
            handler=handler,
            description=description,
            # A policy that is added elsewhere would escape the list above.
            role=self.role.without_policy_updates(),
            log_group=group,
            environment=dict(environment),
            timeout=timeout,
            # Half a processor: most of an invocation is importing and waiting.
            memory_size=1024,
            # Only what is invoked by events; a state machine has retries of its own.
            max_event_age=Duration.hours(1),
            retry_attempts=2,
        )
        Validations.of(self.function).acknowledge(
            Acknowledgment(
                id="AwsSolutions-L1",
                reason="Python 3.13 is the newest that this project supports and is tested with; "
                "the runtime is AWS's own and maintained until 2029.",
            )
        )
        # Lambda refuses a role that it cannot assume yet, and a log group that is not there.
        self.function.node.add_dependency(self.role, group)

    def tell_of_failures(self, topic: sns.ITopic) -> None:
        """Publish to `topic` when it goes on failing, which nobody sees who only sends events."""
        alarm = cloudwatch.Alarm(
            self,
            "Failures",
            alarm_description=f"{self.function.node.path} fails again and again: see its log",
            metric=self.function.metric_errors(period=Duration.minutes(5)),
            threshold=1,
            comparison_operator=(cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD),
            # One event that failed with all its retries is the sweep's to mend, and no alarm.
            evaluation_periods=3,
            datapoints_to_alarm=2,
            # Nothing to do is no failure.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))
        alarm.add_ok_action(actions.SnsAction(topic))
