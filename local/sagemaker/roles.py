"""What SageMaker does in the name of an execution role, and what a refusal says."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.arns import Arns
from local.sagemaker.ports import AccessDenied, Aws, Credentials

_PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_DENIALS = ("AccessDenied", "AccessDeniedException", "AccessDeniedFault", "403", "Forbidden")


class CallFailed(Exception):
    """A call in the name of a role did not succeed; the message names action and role."""


class Role:
    """One execution role, as SageMaker uses it."""

    def __init__(self, aws: Aws, arns: Arns, arn: str) -> None:
        self._aws = aws
        self._arns = arns
        self.arn = arn

    def client(self, service: str) -> Any:  # noqa: ANN401 (boto3 makes the class)
        """Give a boto3 client of the role.

        Raises:
            CallFailed: when SageMaker may not assume the role.
        """
        try:
            return self._aws.client(service, self.arn)
        except AccessDenied as error:
            raise CallFailed(str(error)) from error

    def credentials(self) -> Credentials:
        """Give credentials of the role.

        Raises:
            CallFailed: when SageMaker may not assume the role.
        """
        try:
            return self._aws.credentials(self.arn)
        except AccessDenied as error:
            raise CallFailed(str(error)) from error

    def authorize(
        self, action: str, resource: str, context: Mapping[str, str] | None = None
    ) -> None:
        """Evaluate what AWS would call as the role.

        Raises:
            CallFailed: when the role may not.
        """
        try:
            self._aws.authorize(self.arn, action, resource, context)
        except AccessDenied as error:
            raise CallFailed(str(error)) from error

    def pull(self, image: str) -> None:
        """Evaluate the calls by which AWS pulls an image.

        Raises:
            CallFailed: when the role may not pull it.
        """
        self.authorize("ecr:GetAuthorizationToken", "*")
        repository = self._arns.repository(image)
        for action in _PULL:
            self.authorize(action, repository)

    def use_key(self, action: str, key_id: str, via: str) -> None:
        """Evaluate the use of a KMS key through another service.

        Raises:
            CallFailed: when the role may not use the key.
        """
        context = {"kms:ViaService": f"{via}.{self._arns.region}.amazonaws.com"}
        if action == "kms:CreateGrant":
            context["kms:GrantIsForAWSResource"] = "true"
        self.authorize(action, self._arns.key(key_id), context)

    def failure(self, error: Exception, action: str, resource: str) -> CallFailed:
        """Word what a boto3 call of the role ran into, so that action and role are named."""
        if isinstance(error, CallFailed):
            return error
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", ""))
            message = str(error.response.get("Error", {}).get("Message", "")) or code
            if code in _DENIALS and "not authorized to perform" not in message:
                message = (
                    f"User: {self.arn} is not authorized to perform: {action} "
                    f"on resource: {resource}"
                )
            if resource not in message:
                message = f"{message} ({resource})"
            return CallFailed(message if code in _DENIALS else f"{code}: {message}")
        return CallFailed(f"{action} on {resource}: {error}")


CALL_ERRORS = (BotoCoreError, ClientError)
