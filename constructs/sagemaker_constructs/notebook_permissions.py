"""What somebody may do from a notebook, a statement for each thing that a data scientist does.

Training jobs are begun by the workflow alone. A job reads all data of its environment and writes
beside every model, and no condition key of IAM says where: whoever may create jobs under the common
role could overwrite another's model by way of a checkpoint. The workflow says where.

The network of the notebook has an endpoint for each of these calls and for no other, see `CALLS`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sagemaker_constructs.permission import Permission
from sagemaker_constructs.spelling import spellings

NAMESPACE = "SageMakerPlatform/Notebooks"
"""Where the activity of notebooks is published."""

_OWN_OBJECTS = ("AbortMultipartUpload", "DeleteObject", "GetObject", "PutObject")
_EXECUTIONS = ("DescribeExecution", "GetExecutionHistory", "StopExecution")
_JOBS = ("DescribeTrainingJob", "StopTrainingJob")
_PACKAGES = ("DescribeModelPackage", "DescribeModelPackageGroup", "ListModelPackages")
_ENDPOINTS = ("DescribeEndpoint", "InvokeEndpoint")
_ITSELF = ("DescribeNotebookInstance", "StopNotebookInstance")
_WRITE_LOGS = ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")
_READ_LOGS = ("DescribeLogStreams", "FilterLogEvents", "GetLogEvents")
_UNNAMED = (
    "cloudwatch:GetMetricData",
    "cloudwatch:GetMetricStatistics",
    "cloudwatch:ListMetrics",
    "sagemaker:ListEndpoints",
    "sagemaker:ListTrainingJobs",
)
_REPOSITORY = ("codecommit:GitPull", "codecommit:GitPush")


def calls(*, repository: bool) -> tuple[str, ...]:
    """IAM actions of every call that is made from inside a notebook's network.

    Args:
        repository: Whether a notebook clones a code repository.
    """
    return (
        # Needs no permission, and everybody's first question is whose role this is.
        "sts:GetCallerIdentity",
        "s3:ListBucket",
        *(f"s3:{action}" for action in _OWN_OBJECTS),
        "states:ListExecutions",
        "states:StartExecution",
        *(f"states:{action}" for action in _EXECUTIONS),
        *(f"sagemaker:{action}" for action in (*_JOBS, *_PACKAGES, *_ENDPOINTS, *_ITSELF)),
        *(f"logs:{action}" for action in (*_WRITE_LOGS, *_READ_LOGS)),
        "cloudwatch:PutMetricData",
        *_UNNAMED,
        *(_REPOSITORY if repository else ()),
    )


@dataclass(frozen=True)
class NotebookPermissions:
    """Permissions of the notebooks of one environment.

    Args:
        scope: Anything in the stack of the notebooks.
        key: Key of both buckets.
        data: Bucket in which each notebook has a prefix of its own.
        models: Bucket of the models, under `jobs/`.
        state_machine_arn: The training workflow.
        state_machine_name: Its name.
        job_prefix: What the names of the environment's training jobs begin with.
        model_package_groups: Names of the groups in the model registry.
        endpoint_names: Names of the endpoints in SageMaker.
    """

    scope: Construct
    key: kms.IKey
    data: s3.IBucket
    models: s3.IBucket
    state_machine_arn: str
    state_machine_name: str
    job_prefix: str
    model_package_groups: Sequence[str]
    endpoint_names: Sequence[str]

    def work(self, prefix: str) -> list[Permission]:
        """What a notebook is there for, with its own objects below `prefix` of the data bucket."""
        return [
            self._objects(prefix),
            self._models(),
            self._workflow(),
            self._jobs(),
            self._packages(),
            *([self._endpoints()] if self.endpoint_names else []),
            self._see(),
        ]

    def run(self, name: str) -> list[Permission]:
        """What the notebook instance `name` does by itself: log, report and stop."""
        group = self._log_group("NotebookInstances")
        return [
            Permission(
                (_statement("WriteLogs", _logs(_WRITE_LOGS), [group, f"{group}:*"]),),
                {f"{group}:*": "The streams of one log group."},
            ),
            Permission(
                (
                    _statement(
                        "ReportActivity",
                        ["cloudwatch:PutMetricData"],
                        ["*"],
                        {"StringEquals": {"cloudwatch:namespace": NAMESPACE}},
                    ),
                ),
                {"*": "Metrics cannot be told by resource; these are by namespace."},
            ),
            Permission(
                (
                    _statement(
                        "StopItself",
                        [f"sagemaker:{action}" for action in _ITSELF],
                        self._named("notebook-instance", name),
                    ),
                )
            ),
        ]

    def repository(self, name: str) -> Permission:
        """Work with one CodeCommit repository of this account."""
        arn = Stack.of(self.scope).format_arn(service="codecommit", resource=name)
        return Permission((_statement("CodeRepository", list(_REPOSITORY), [arn]),))

    def _objects(self, prefix: str) -> Permission:
        own = self.data.arn_for_objects(f"{prefix}*")
        return Permission(
            (
                _statement(
                    "ListOwnData",
                    ["s3:ListBucket"],
                    [self.data.bucket_arn],
                    {"StringLike": {"s3:prefix": f"{prefix}*"}},
                ),
                _statement("OwnData", [f"s3:{action}" for action in _OWN_OBJECTS], [own]),
                # The same statement serves the models, which have the same key.
                _statement(
                    "DataKey",
                    ["kms:Decrypt", "kms:GenerateDataKey"],
                    [self.key.key_arn],
                    {
                        "StringEquals": {
                            "kms:ViaService": f"s3.{Stack.of(self.scope).region}.amazonaws.com"
                        }
                    },
                ),
            ),
            {own: "Each notebook has a prefix of its own."},
        )

    def _models(self) -> Permission:
        objects = self.models.arn_for_objects("jobs/*")
        return Permission(
            (
                _statement(
                    "ListModels",
                    ["s3:ListBucket"],
                    [self.models.bucket_arn],
                    {"StringLike": {"s3:prefix": "jobs/*"}},
                ),
                _statement("ReadModels", ["s3:GetObject"], [objects]),
            ),
            {objects: "Models of the environment are read, and written by jobs alone."},
        )

    def _workflow(self) -> Permission:
        executions = Stack.of(self.scope).format_arn(
            service="states",
            resource="execution",
            resource_name=f"{self.state_machine_name}:*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        return Permission(
            (
                _statement(
                    "StartWorkflow",
                    ["states:ListExecutions", "states:StartExecution"],
                    [self.state_machine_arn],
                ),
                _statement(
                    "FollowWorkflow", [f"states:{action}" for action in _EXECUTIONS], [executions]
                ),
            ),
            {executions: "Each execution has a name of its own, behind the machine's."},
        )

    def _jobs(self) -> Permission:
        jobs = self._arn("sagemaker", "training-job", f"{self.job_prefix}*")
        return Permission(
            (_statement("FollowJobs", [f"sagemaker:{action}" for action in _JOBS], [jobs]),),
            {jobs: "Each job has its own name, with the environment in front."},
        )

    def _packages(self) -> Permission:
        groups = self._named("model-package-group", *self.model_package_groups)
        packages = self._named("model-package", *(f"{one}/*" for one in self.model_package_groups))
        return Permission(
            (
                _statement(
                    "SeePackages",
                    [f"sagemaker:{action}" for action in _PACKAGES],
                    [*groups, *packages],
                ),
            ),
            dict.fromkeys(packages, "SageMaker numbers the versions of a group."),
        )

    def _endpoints(self) -> Permission:
        return Permission(
            (
                _statement(
                    "AskEndpoints",
                    [f"sagemaker:{action}" for action in _ENDPOINTS],
                    self._named("endpoint", *self.endpoint_names),
                ),
            )
        )

    def _see(self) -> Permission:
        groups = [
            self._log_group(name)
            for name in ("TrainingJobs", *(f"Endpoints/{name}" for name in self.endpoint_names))
        ]
        streams = [f"{group}:*" for group in groups]
        return Permission(
            (
                _statement("ReadLogs", _logs(_READ_LOGS), [*groups, *streams]),
                _statement("See", list(_UNNAMED), ["*"]),
            ),
            {
                "*": "Metrics, jobs and endpoints can be listed only all together.",
                **dict.fromkeys(streams, "The streams of one log group."),
            },
        )

    def _log_group(self, name: str) -> str:
        return Stack.of(self.scope).format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"/aws/sagemaker/{name}",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )

    def _named(self, kind: str, *names: str) -> list[str]:
        return [self._arn("sagemaker", kind, spelling) for spelling in spellings(names)]

    def _arn(self, service: str, resource: str, name: str) -> str:
        return Stack.of(self.scope).format_arn(
            service=service, resource=resource, resource_name=name
        )


def _logs(actions: Sequence[str]) -> list[str]:
    return [f"logs:{action}" for action in actions]


def _statement(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    conditions: Mapping[str, Mapping[str, str]] | None = None,
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid,
        actions=list(actions),
        resources=list(resources),
        conditions=dict(conditions) if conditions else None,
    )
