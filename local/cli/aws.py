"""boto3 against the running platform, as its administrator."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from botocore.config import Config

from local.platform.errors import PlatformError
from local.platform.home import ENVIRONMENT, default_home
from local.platform.lifecycle import Platform, attach

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_ecr import ECRClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_sagemaker import SageMakerClient
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient
    from types_boto3_service_quotas import ServiceQuotasClient
    from types_boto3_ssm import SSMClient
    from types_boto3_stepfunctions import SFNClient

# No proxies: the platform is on this machine.
SETTINGS = Config(retries={"max_attempts": 2}, connect_timeout=5, read_timeout=90, proxies={})


class Aws:
    """The platform's AWS: a client for each service, and the names that the stacks publish."""

    def __init__(self, platform: Platform | None = None) -> None:
        self.platform = platform or attach(default_home())
        self.url = self.platform.url
        self._session = self.platform.credentials.session()

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        """The stacks."""
        return self._session.client("cloudformation", endpoint_url=self.url, config=SETTINGS)

    @cached_property
    def ecr(self) -> ECRClient:
        """Repositories of images."""
        return self._session.client("ecr", endpoint_url=self.url, config=SETTINGS)

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        """What jobs, endpoints and functions print."""
        return self._session.client("logs", endpoint_url=self.url, config=SETTINGS)

    @cached_property
    def s3(self) -> S3Client:
        """Data and models."""
        return self._session.client("s3", endpoint_url=self.url, config=SETTINGS)

    @cached_property
    def sagemaker(self) -> SageMakerClient:
        """Jobs, packages and endpoints."""
        return self._session.client("sagemaker", endpoint_url=self.url, config=SETTINGS)

    @cached_property
    def runtime(self) -> SageMakerRuntimeClient:
        """Predictions."""
        return self._session.client("sagemaker-runtime", endpoint_url=self.url, config=SETTINGS)

    @cached_property
    def service_quotas(self) -> ServiceQuotasClient:
        """What the account is allowed, and what it asked for."""
        return self._session.client("service-quotas", endpoint_url=self.url, config=SETTINGS)

    @cached_property
    def ssm(self) -> SSMClient:
        """The names that stacks publish."""
        return self._session.client("ssm", endpoint_url=self.url, config=SETTINGS)

    @cached_property
    def stepfunctions(self) -> SFNClient:
        """The training workflow."""
        return self._session.client("stepfunctions", endpoint_url=self.url, config=SETTINGS)

    def caller(self) -> str:
        """ARN of whom these clients act as."""
        sts = self._session.client("sts", endpoint_url=self.url, config=SETTINGS)
        return sts.get_caller_identity()["Arn"]

    def published(self, before: str, after: str) -> dict[str, str]:
        """The values that stacks published as BEFORE, a name and AFTER, by that name."""
        start = f"/sagemaker-platform/{ENVIRONMENT}/{before}"
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(
            Path=start.rstrip("/"), Recursive=True
        )
        found = {one["Name"]: one["Value"] for page in pages for one in page["Parameters"]}
        return {
            name.removeprefix(start).removesuffix(after): value
            for name, value in sorted(found.items())
            if name.endswith(after)
        }

    def parameter(self, name: str) -> str:
        """The value that a stack published under /sagemaker-platform/local/NAME."""
        path = f"/sagemaker-platform/{ENVIRONMENT}/{name}"
        try:
            return self.ssm.get_parameter(Name=path)["Parameter"]["Value"]
        except self.ssm.exceptions.ParameterNotFound:
            raise PlatformError(
                "read the platform's names",
                f"The parameter {path} does not exist, so its stack is not deployed.",
                "Deploy the stacks with: smp up",
            ) from None
