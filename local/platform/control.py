"""Signed calls of the platform's control paths, which its administrator alone may make."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Key

from local.platform.credentials import Credentials
from local.platform.errors import PlatformError
from local.platform.home import REGION

SERVICE = "smp"
# Without the proxies of the environment: the platform is on this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(
    url: str,
    credentials: Credentials,
    path: str,
    document: Mapping[str, Any] | None = None,
    seconds: float = 10,
) -> Any:  # noqa: ANN401 - a JSON document
    """Get `/_smp/PATH`, or post `document` there.

    Raises:
        urllib.error.HTTPError: The platform refuses it; its body says why.
        OSError: Nothing answers.
    """
    body = None if document is None else json.dumps(document).encode()
    place = f"{url}/_smp/{path}"
    request = AWSRequest(
        method="GET" if body is None else "POST",
        url=place,
        data=body,
        headers={"Content-Type": "application/json"},
    )
    key = Key(credentials.access_key, credentials.secret_key)
    SigV4Auth(key, SERVICE, REGION).add_auth(request)
    headers = dict(request.headers.items())
    signed = urllib.request.Request(place, data=body, headers=headers)  # noqa: S310 - a fixed http address
    with _opener.open(signed, timeout=seconds) as response:
        return json.load(response)


def asked(
    step: str,
    url: str,
    credentials: Credentials,
    path: str,
    document: Mapping[str, Any] | None = None,
    remedy: str = "See what runs with: smp status",
) -> Any:  # noqa: ANN401 - a JSON document
    """Do as `call` does, for a command.

    Raises:
        PlatformError: The platform refuses it, or does not answer.
    """
    try:
        return call(url, credentials, path, document)
    except urllib.error.HTTPError as error:
        raise PlatformError(step, _reason(error), remedy) from None
    except OSError as error:
        raise PlatformError(
            "reach the platform", str(error), "See what runs with: smp status"
        ) from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        document = json.load(error)
    except ValueError:
        return str(error)
    return str(document.get("error") or document.get("message") or error)
