"""The platform's ECR, as Docker sees it."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager

from tests import images
from tests.platform import LocalPlatform


@contextmanager
def logged_in(platform: LocalPlatform) -> Iterator[None]:
    """Docker may push to the platform's registry; skips where there is no Docker."""
    images.need()
    data = platform.client("ecr").get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    registry = data["proxyEndpoint"]
    images.docker("login", "--username", user, "--password-stdin", registry, stdin=password)
    try:
        yield
    finally:
        images.docker("logout", registry)


def push(image: str, uri: str) -> None:
    """Push an image under another name, which Docker then forgets."""
    images.docker("tag", image, uri)
    images.docker("push", uri)
    # What runs must come from the registry, and not from what Docker has of the push.
    images.docker("rmi", uri)
