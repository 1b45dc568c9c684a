"""The SageMaker service: its API, its jobs and its endpoints, on one folder of state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.sagemaker import permissions
from local.sagemaker.arns import Arns
from local.sagemaker.errors import unknown_operation
from local.sagemaker.faults import Faults
from local.sagemaker.permissions import Permission
from local.sagemaker.ports import Aws

Answer = tuple[int, dict[str, str], bytes]


class SageMakerService:
    """SageMaker for one account and region, acting in the AWS that it is given."""

    def __init__(self, aws: Aws, state: Path) -> None:
        self.faults = Faults()
        self._aws = aws
        self._state = state
        self._arns = Arns(aws.region, aws.account)

    def start(self) -> None:
        """Take up what the state holds: endpoints come back, jobs that were cut off have failed."""

    def close(self) -> None:
        """End every process of a job or endpoint; what is stored stays."""

    def call(
        self, operation: str, params: Mapping[str, Any], *, caller_arn: str = ""
    ) -> dict[str, Any]:
        """Do one control plane operation; times are epoch seconds.

        Raises:
            ServiceError: what AWS would answer in place of a result.
        """
        raise unknown_operation(operation)

    def required_permissions(self, operation: str, params: Mapping[str, Any]) -> list[Permission]:
        """What the caller of the operation must be allowed; for params as they were sent."""
        return permissions.required(self._arns, operation, params, lambda group: 1)

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query: object
    ) -> Answer:
        """Answer a control plane request of the JSON 1.1 protocol."""
        return 404, {}, b""

    async def handle_runtime(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query: object
    ) -> Answer:
        """Answer `POST /endpoints/NAME/invocations`."""
        return 404, {}, b""
