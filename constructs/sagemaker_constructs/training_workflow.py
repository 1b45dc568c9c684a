"""From a job request to a model that answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from aws_cdk import Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

from sagemaker_constructs.function import PlatformFunction
from sagemaker_constructs.permission import Permission, merged
from sagemaker_constructs.private_network import Placement
from sagemaker_constructs.table import platform_table
from sagemaker_constructs.trust import own_account
from sagemaker_constructs.wildcards import acknowledge_wildcards
from sagemaker_constructs.workflow_permissions import WorkflowPermissions

PREFIX = "sagemaker-platform"
STATUS_INDEX = "by-status"

# SageMaker lets a job run for 28 days; the sweep ends the wait of any job long before this does.
_LONGEST_JOB = Duration.days(30)
_POLL = Duration.seconds(5)
# The whole document of an execution.
_ALL = sfn.JsonPath.entire_payload
# What happens to an invocation, in contrast to what a handler says of the request.
_INTERRUPTIONS = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
]


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What a job gets when its request leaves it out, and what it may not go beyond."""

    instance_types: tuple[str, ...]
    volume_gb: int
    max_runtime_seconds: int
    other_instance_types: tuple[str, ...] = ()
    """What a request may name beside `instance_types`."""
    require_isolation: bool = True
    """Whether every job runs without a network."""


class TrainingWorkflow(Construct):
    """The state machine `validate -> train -> register -> deploy -> report` and what it stands on.

    A job waits for its end as one task token in the job table. SageMaker's event completes the
    token; a sweep compares table and service, so that a lost event costs minutes and never a job.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        environment_name: Part of the names of jobs, state machine and repositories.
        code_path: Folder that `make functions` stages.
        architecture: Processor that the folder was built for.
        data_bucket: Where requests may read from.
        models_bucket: Where everything of a job goes, below `jobs/`.
        key: Key of both buckets, of table, logs and jobs.
        execution_role: What SageMaker acts with for a job.
        topic: Where each result is told.
        placement: Where in a VPC jobs run; `None` for SageMaker's own network.
        repositories: ARNs of the ECR repositories whose images jobs may run.
        model_package_groups: Name of each group in SageMaker, by the short name in requests.
        endpoints: Name of each endpoint's stack, by the short name in requests; empty where the
            environment file alone decides what is served.
        defaults: What a job gets when its request leaves it out, and what it may not go beyond.
        log_retention: How long logs of functions and state machine are kept.
        retain: Whether the job table outlives its stack.
    """

    state_machine: sfn.StateMachine
    """Takes a job request as its input."""

    table: dynamodb.Table
    """A row for each job that waits, and one for each endpoint that is being deployed."""

    functions: Mapping[str, PlatformFunction]
    """Each function by the name of its handler's module."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        environment_name: str,
        code_path: Path,
        architecture: lambda_.Architecture,
        data_bucket: s3.IBucket,
        models_bucket: s3.IBucket,
        key: kms.IKey,
        execution_role: iam.IRole,
        topic: sns.ITopic,
        placement: Placement | None = None,
        repositories: Sequence[str],
        model_package_groups: Mapping[str, str],
        endpoints: Mapping[str, str],
        defaults: JobDefaults,
        log_retention: logs.RetentionDays,
        retain: bool,
    ) -> None:
        super().__init__(scope, id)
        if not defaults.instance_types:
            raise ValueError("defaults.instance_types is empty: give at least one instance type")
        if any(
            Token.is_unresolved(name)
            for name in (*model_package_groups.values(), *endpoints.values())
        ):
            raise ValueError("groups and stacks must have names in plain text: requests name them")
        self._key = key
        self._log_retention = log_retention
        self._name = f"{PREFIX}-{environment_name}-training"
        job_prefix = f"{environment_name}-"
        self.table = self._job_table(retain)
        may = WorkflowPermissions(
            scope=self,
            key=key,
            table=self.table,
            status_index=STATUS_INDEX,
            data=data_bucket,
            models=models_bucket,
            job_prefix=job_prefix,
            execution_role=execution_role,
            environment_name=environment_name,
            instance_types=(*defaults.instance_types, *defaults.other_instance_types),
            require_isolation=defaults.require_isolation,
            placement=placement,
        )
        deployable = [name for name, stack in endpoints.items() if stack]
        stacks = [stack for stack in endpoints.values() if stack]
        served = [f"{PREFIX}-{environment_name}-{name}" for name in deployable]
        groups = list(model_package_groups.values())
        table = {"JOB_TABLE": self.table.table_name}
        models = {"MODELS_BUCKET": models_bucket.bucket_name}
        request = {
            "ENVIRONMENT_NAME": environment_name,
            "EXECUTION_ROLE_ARN": execution_role.role_arn,
            "KEY_ARN": key.key_arn,
            "IMAGE_REGISTRY": self._image_registry(environment_name),
            "DEFAULTS": json.dumps(asdict(defaults)),
            "GROUPS": json.dumps(dict(model_package_groups)),
            "ENDPOINTS": json.dumps(dict(endpoints)),
        }
        if placement:
            request["SUBNETS"] = ",".join(placement.subnet_ids)
            request["SECURITY_GROUPS"] = placement.group.security_group_id

        def function(
            name: str, description: str, settings: Mapping[str, str], *permissions: Permission
        ) -> PlatformFunction:
            return PlatformFunction(
                self,
                name.capitalize(),
                code_path=code_path,
                handler=f"jobs.handlers.{name}.lambda_handler",
                description=description,
                architecture=architecture,
                key=key,
                statements=[one for each in permissions for one in each.statements],
                wildcards=merged(permissions),
                environment=settings,
                timeout=Duration.minutes(1),
                log_retention=log_retention,
            )

        self.functions = {
            "validate": function(
                "validate",
                "Compiles a job request into a training job, or refuses it",
                request | models,
                may.list_data(),
            ),
            "train": function(
                "train",
                "Begins a training job and keeps its task token in the job table",
                table | models,
                may.rows("PutItem", "GetItem", "UpdateItem"),
                may.write_records(),
                may.read_sources(),
                may.begin_jobs(),
                may.pass_execution_role(),
                may.answer_tasks(),
            ),
            "complete": function(
                "complete",
                "Answers the task of a training job that has ended",
                table,
                may.rows("GetItem", "UpdateItem"),
                may.describe_jobs(),
                may.answer_tasks(),
            ),
            "sweep": function(
                "sweep",
                "Finds jobs that ended, or never began, without anybody being told",
                table,
                may.rows("GetItem", "UpdateItem", "Query"),
                may.begin_jobs(),
                may.pass_execution_role(),
                may.answer_tasks(ask=True),
            ),
            "register": function(
                "register",
                "Makes a model package of what a training job left",
                models,
                may.write_records(),
                may.create_packages(groups, repositories),
            ),
            "report": function(
                "report",
                "Tells the topic how an execution ended",
                {"TOPIC_ARN": topic.topic_arn, "ENVIRONMENT_NAME": environment_name},
                may.tell(topic),
                may.send_events(PREFIX),
            ),
        }
        if deployable:
            self.functions |= {
                "deploy": function(
                    "deploy",
                    "Asks CloudFormation to put a model package into service",
                    table,
                    may.rows("PutItem", "GetItem", "UpdateItem", "DeleteItem"),
                    may.update_stacks(stacks),
                ),
                "deployed": function(
                    "deployed",
                    "Looks how a deployment goes on, and asks the endpoint when it is done",
                    table,
                    may.rows("UpdateItem", "DeleteItem"),
                    may.follow_stacks(stacks),
                    may.ask_endpoints(served),
                    may.see_served_models(served),
                ),
            }
        self.state_machine = self._machine(deploys=bool(deployable))
        for name in ("complete", "sweep"):
            self.functions[name].tell_of_failures(topic)
        self._complete_on_event(job_prefix)
        self._sweep_on_schedule()

    def _job_table(self, retain: bool) -> dynamodb.Table:
        table = platform_table(self, "Jobs", key=self._key, retain=retain)
        # Only rows of unfinished jobs have a status, so the index stays as small as the work.
        table.add_global_secondary_index(
            index_name=STATUS_INDEX,
            partition_key=dynamodb.Attribute(name="status", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="updated", type=dynamodb.AttributeType.NUMBER),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        return table

    def _image_registry(self, environment_name: str) -> str:
        stack = Stack.of(self)
        return (
            f"{stack.account}.dkr.ecr.{stack.region}.{stack.url_suffix}/{PREFIX}-{environment_name}"
        )

    def _machine(self, *, deploys: bool) -> sfn.StateMachine:
        group = logs.LogGroup(
            self,
            "ExecutionLogs",
            # Log delivery takes this prefix as given; other groups need a growing resource policy.
            log_group_name=f"/aws/vendedlogs/states/{self._name}",
            encryption_key=self._key,
            retention=self._log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = self._machine_role()
        machine = sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=self._name,
            comment="From a job request to a model that answers",
            definition_body=sfn.DefinitionBody.from_chainable(self._definition(deploys)),
            role=role.without_policy_updates(),
            logs=sfn.LogOptions(
                destination=group, level=sfn.LogLevel.ALL, include_execution_data=False
            ),
            tracing_enabled=True,
        )
        # Step Functions refuses a machine whose role may not deliver its log.
        machine.node.add_dependency(role)
        return machine

    def _machine_role(self) -> iam.Role:
        role = iam.Role(
            self,
            "MachineRole",
            assumed_by=own_account("states.amazonaws.com", self),
            description="The training workflow calls its functions with it",
            inline_policies={
                "own": iam.PolicyDocument(
                    statements=[
                        iam.PolicyStatement(
                            sid="CallFunctions",
                            actions=["lambda:InvokeFunction"],
                            resources=[
                                one.function.function_arn
                                for name, one in self.functions.items()
                                if name not in ("complete", "sweep")
                            ],
                        ),
                        iam.PolicyStatement(
                            sid="DeliverLog",
                            actions=[
                                "logs:CreateLogDelivery",
                                "logs:DeleteLogDelivery",
                                "logs:DescribeLogGroups",
                                "logs:DescribeResourcePolicies",
                                "logs:GetLogDelivery",
                                "logs:ListLogDeliveries",
                                "logs:PutResourcePolicy",
                                "logs:UpdateLogDelivery",
                            ],
                            resources=["*"],
                        ),
                        iam.PolicyStatement(
                            sid="Trace",
                            actions=[
                                "xray:GetSamplingRules",
                                "xray:GetSamplingTargets",
                                "xray:PutTelemetryRecords",
                                "xray:PutTraceSegments",
                            ],
                            resources=["*"],
                        ),
                    ]
                )
            },
        )
        acknowledge_wildcards(
            role, {"*": "Log deliveries and traces have no ARN that a policy could name."}
        )
        return role

    def _definition(self, deploys: bool) -> sfn.IChainable:
        """The states; a failing one goes to ReportFailure, which ends as that one would have."""
        failure = self._call(
            "ReportFailure", "report", {"outcome": "failure", "state": _ALL}, result="$.failure"
        )
        end = sfn.Fail(self, "Failed", error_path="$.failure.Error", cause_path="$.failure.Cause")
        failure.add_catch(end, errors=["States.ALL"], result_path=sfn.JsonPath.DISCARD)
        failure.next(end)

        validate = self._call("Validate", "validate", _ALL, result="$.job")
        train = self._train()
        register = self._call("Register", "register", _ALL, result="$.package")
        report = self._call("Report", "report", {"outcome": "success", "state": _ALL}, result="$")
        steps = [validate, train, register]

        after_register: sfn.IChainable = report
        if deploys:
            deploy, further = self._deployment(report)
            steps += further
            after_register = (
                sfn.Choice(self, "DeployWanted")
                .when(sfn.Condition.is_present("$.job.deploy"), deploy)
                .otherwise(report)
            )
        for step in steps:
            step.add_catch(failure, errors=["States.ALL"], result_path="$.failure")
        return (
            sfn.Pass(
                self,
                "Receive",
                parameters={
                    "request": _ALL,
                    "execution": sfn.JsonPath.string_at("$$.Execution.Id"),
                    "started": sfn.JsonPath.string_at("$$.Execution.StartTime"),
                },
            )
            .next(validate)
            .next(train)
            .next(
                sfn.Choice(self, "RegisterWanted")
                .when(
                    sfn.Condition.is_present("$.job.register"),
                    register.next(after_register),
                )
                .otherwise(report)
            )
        )

    def _train(self) -> tasks.LambdaInvoke:
        """Begins a job and waits for its token, which the event or the sweep completes."""
        train = tasks.LambdaInvoke(
            self,
            "TrainTask",
            state_name="Train",
            lambda_function=self.functions["train"].function,
            integration_pattern=sfn.IntegrationPattern.WAIT_FOR_TASK_TOKEN,
            payload=sfn.TaskInput.from_object({"token": sfn.JsonPath.task_token, "state": _ALL}),
            result_path="$.training",
            task_timeout=sfn.Timeout.duration(_LONGEST_JOB),
            retry_on_service_exceptions=False,
        )
        _retry(train)
        return train

    def _deployment(self, done: sfn.IChainable) -> tuple[sfn.IChainable, list[tasks.LambdaInvoke]]:
        """Update, look until it is done, and go back when the endpoint does not answer."""
        deploy = self._call("Deploy", "deploy", _ALL, result="$.deployment")
        pause = sfn.Wait(self, "WaitForStack", time=sfn.WaitTime.duration(_POLL))
        look = self._call("CheckDeployment", "deployed", _ALL, result="$.deployment")
        restore = self._call("Restore", "deploy", _ALL, result="$.deployment")
        for asking in (deploy, restore):
            asking.add_retry(
                errors=["EndpointBusy"],
                interval=Duration.seconds(10),
                max_attempts=360,
                backoff_rate=1,
            )
        deploy.next(pause)
        restore.next(pause)
        pause.next(look)
        look.next(
            sfn.Choice(self, "DeploymentState")
            .when(sfn.Condition.string_equals("$.deployment.state", "updating"), pause)
            .when(sfn.Condition.string_equals("$.deployment.state", "unhealthy"), restore)
            .otherwise(done)
        )
        return deploy, [deploy, look, restore]

    def _call(
        self, id: str, name: str, payload: Mapping[str, object] | str, *, result: str
    ) -> tasks.LambdaInvoke:
        call = tasks.LambdaInvoke(
            self,
            f"{id}Task",
            state_name=id,
            lambda_function=self.functions[name].function,
            payload=(
                None if payload == _ALL else sfn.TaskInput.from_object(dict(payload))  # type: ignore[arg-type]
            ),
            payload_response_only=True,
            result_path=result,
            retry_on_service_exceptions=False,
        )
        _retry(call)
        return call

    def _complete_on_event(self, job_prefix: str) -> None:
        events.Rule(
            self,
            "JobEnded",
            description="A training job of this environment has ended",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Training Job State Change"],
                detail={
                    "TrainingJobStatus": ["Completed", "Failed", "Stopped"],
                    "TrainingJobName": events.Match.prefix(job_prefix),
                },
            ),
            targets=[self._target("complete")],
        )

    def _sweep_on_schedule(self) -> None:
        events.Rule(
            self,
            "SweepTime",
            description="Compares the job table with SageMaker",
            schedule=events.Schedule.rate(Duration.minutes(5)),
            targets=[self._target("sweep")],
        )

    def _target(self, name: str) -> targets.LambdaFunction:
        # No queue for what cannot be delivered: the next sweep finds the same job again.
        return targets.LambdaFunction(
            self.functions[name].function, retry_attempts=3, max_event_age=Duration.hours(1)
        )


def _retry(task: tasks.LambdaInvoke) -> None:
    """Call again when an invocation was cut short; every function can be repeated without harm."""
    task.add_retry(
        errors=_INTERRUPTIONS,
        interval=Duration.seconds(1),
        max_attempts=3,
        backoff_rate=2,
        jitter_strategy=sfn.JitterType.FULL,
    )
