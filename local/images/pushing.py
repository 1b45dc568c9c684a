"""Pushing the images to the repositories of an environment."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.images.building import TAG, local_name
from local.platform.errors import PlatformError

if TYPE_CHECKING:
    from types_boto3_ecr import ECRClient

PREFIX = "sagemaker-platform"


@dataclass(frozen=True)
class Pushed:
    """Where an image lies now, and whether it lay there before."""

    uri: str
    before: bool


class Registry:
    """The repositories of one environment, to which Docker pushes with the caller's rights."""

    def __init__(self, ecr: ECRClient, environment: str, docker: Any) -> None:  # noqa: ANN401
        self._ecr = ecr
        self._prefix = f"{PREFIX}-{environment}"
        self._environment = environment
        self._docker = docker

    def push(self, name: str, tag: str = TAG) -> Pushed:
        """Push the image of an algorithm under the tag that jobs name; tags never move.

        Raises:
            PlatformError: It was not built, has no repository there, or the push failed.
        """
        step, repository = f"push {name}", f"{self._prefix}/{name}"
        uri = self._uri(step, repository)
        if self._has(repository, tag):
            return Pushed(f"{uri}:{tag}", before=True)
        try:
            image = self._docker.images.get(local_name(name, tag))
        except Exception as error:
            raise PlatformError(
                step,
                f"Docker has no image {local_name(name, tag)} ({error}).",
                f"Build it first: smp images build {name}",
            ) from error
        image.tag(uri, tag)
        try:
            for line in self._lines(uri, tag):
                if "error" in line:
                    raise PlatformError(step, str(line["error"]), "")
        finally:
            self._docker.images.remove(f"{uri}:{tag}", noprune=True)
        return Pushed(f"{uri}:{tag}", before=False)

    def _uri(self, step: str, repository: str) -> str:
        try:
            found = self._ecr.describe_repositories(repositoryNames=[repository])
        except ClientError as error:
            if error.response["Error"]["Code"] != "RepositoryNotFoundException":
                raise
            raise PlatformError(
                step,
                f"The environment {self._environment} has no repository {repository}.",
                f"Deploy its stack of images first: {self._prefix}-images.",
            ) from error
        return found["repositories"][0]["repositoryUri"]

    def _has(self, repository: str, tag: str) -> bool:
        try:
            found = self._ecr.describe_images(
                repositoryName=repository, imageIds=[{"imageTag": tag}]
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ImageNotFoundException":
                raise
            return False
        return bool(found["imageDetails"])

    def _lines(self, uri: str, tag: str) -> Iterator[dict[str, Any]]:
        """What Docker tells of a push, made with a password for this one registry."""
        data = self._ecr.get_authorization_token()["authorizationData"][0]
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        credentials = {"username": user, "password": password}
        yield from self._docker.images.push(
            uri, tag=tag, auth_config=credentials, stream=True, decode=True
        )
