"""What the SageMaker service needs of the AWS around it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class AccessDenied(Exception):
    """A role may not do what was asked in its name; the message is worded as AWS words it."""


class Credentials(NamedTuple):
    """Temporary credentials of a role."""

    access_key: str
    secret_key: str
    token: str

    def __repr__(self) -> str:
        """Name the key without its secrets: what is printed or logged must not hold them."""
        return f"Credentials(access_key={self.access_key!r})"


class Aws(Protocol):
    """The AWS in which SageMaker acts, in the name of the roles that are passed to it."""

    account: str
    region: str
    endpoint_url: str

    def client(self, service: str, role_arn: str) -> Any:  # noqa: ANN401 (boto3 makes the class)
        """A boto3 client with the role's credentials.

        Raises:
            AccessDenied: when SageMaker cannot assume the role.
        """

    def credentials(self, role_arn: str) -> Credentials:
        """Credentials of the role for the environment of a job or a model server.

        Raises:
            AccessDenied: when SageMaker cannot assume the role.
        """

    def own_client(self, service: str) -> Any:  # noqa: ANN401 (boto3 makes the class)
        """A boto3 client of the service itself, for what AWS's service does as itself.

        What the caller asked for in this way must be among the caller's own permissions.
        """

    def authorize(
        self, role_arn: str, action: str, resource: str, context: Mapping[str, str] | None = None
    ) -> None:
        """Evaluate a call that SageMaker makes as the role but that needs no call here.

        Raises:
            AccessDenied: when the role may not make the call.
        """

    def put_event(
        self, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str]
    ) -> None:
        """Send an event of source aws.sagemaker to the account's default bus."""

    def put_metrics(self, namespace: str, data: Sequence[Mapping[str, Any]]) -> None:
        """Publish metrics as the service itself, as AWS does for the namespace AWS/SageMaker."""
