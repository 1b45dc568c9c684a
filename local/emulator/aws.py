"""The AWS that the SageMaker service sees: the emulator, in the name of a role."""

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from local.emulator import identity
from local.emulator.environment import ACCOUNT, REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY
from local.sagemaker.ports import AccessDenied, Credentials

SERVICE = "sagemaker.amazonaws.com"


class EmulatorAws:
    """Gives SageMaker clients and decisions in the name of the roles that are passed to it."""

    def __init__(self, endpoint_url: str) -> None:
        self.account = ACCOUNT
        self.region = REGION
        self.endpoint_url = endpoint_url
        self._clients: dict[tuple[str, str], Any] = {}
        self._boto: Any = None
        self._lock = threading.Lock()

    def credentials(self, role_arn: str) -> Credentials:
        """What a job finds in its environment.

        Raises:
            AccessDenied: when the role does not exist or does not trust SageMaker.
        """
        return Credentials(*self._session(role_arn))

    def own_client(self, service: str) -> Any:
        """A client of the service itself, which acts as the account's root does."""
        return self._client(service, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, None)

    def client(self, service: str, role_arn: str) -> Any:
        """A client that acts as the role.

        Raises:
            AccessDenied: when the role does not exist or does not trust SageMaker.
        """
        return self._client(service, *self._session(role_arn))

    def _client(self, service: str, key: str, secret: str, token: str | None) -> Any:
        with self._lock:
            client = self._clients.get((service, key))
            if client is None:
                import boto3
                from botocore.config import Config

                # One session for all: it keeps what it read of botocore's models.
                if self._boto is None:
                    self._boto = boto3.session.Session()
                client = self._clients[service, key] = self._boto.client(
                    service,
                    region_name=REGION,
                    endpoint_url=self.endpoint_url,
                    aws_access_key_id=key,
                    aws_secret_access_key=secret,
                    aws_session_token=token,
                    config=Config(
                        s3={"addressing_style": "path"},
                        max_pool_connections=32,
                        retries={"mode": "standard", "total_max_attempts": 3},
                    ),
                )
        return client

    def authorize(
        self,
        role_arn: str,
        action: str,
        resource: str,
        context: Mapping[str, str] | None = None,
    ) -> None:
        """Evaluate a call that AWS would make as the role, whether or not it is made here.

        Raises:
            AccessDenied: when the role's policies, or the resource's, do not allow it.
        """
        key, _, _ = self._session(role_arn)
        try:
            identity.authorize(key, action, resource, context)
        except identity.Denied as error:
            raise AccessDenied(str(error)) from error

    def _session(self, role_arn: str) -> tuple[str, str, str]:
        try:
            return identity.session(role_arn, SERVICE, "SageMaker")
        except identity.NotAssumable as error:
            raise AccessDenied(str(error)) from error

    def put_event(
        self, detail_type: str, detail: Mapping[str, Any], resources: Sequence[str]
    ) -> None:
        """Send an event of source aws.sagemaker to the default bus."""
        entry = {
            "Source": "aws.sagemaker",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "Resources": [*resources],
        }

        def put() -> None:
            from ministack.services import eventbridge

            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

        identity.in_own_context(put)

    def put_metrics(self, namespace: str, data: Sequence[Mapping[str, Any]]) -> None:
        """Publish metrics as the service itself; no role is asked."""
        entries = [{**one} for one in data]

        def put() -> None:
            from ministack.services import cloudwatch

            cloudwatch._put_metric_data(
                {}, {"Namespace": namespace, "MetricData": entries}, True, is_json=False
            )

        identity.in_own_context(put)
