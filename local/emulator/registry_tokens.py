"""Who may push and pull: ECR's authorization tokens, and its answers for a registry on loopback."""

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from typing import Any

from local.emulator.environment import ACCOUNT, HOST, REGION, Settings
from local.emulator.services import Response

_SECONDS = 43_200
_USER = "AWS"


class Tokens:
    """Makes and reads the passwords that `aws ecr get-login-password` prints.

    A password names the access key of its owner, as on AWS: each push and pull is then evaluated
    as that principal. They stay valid when the platform starts again on the same state.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "secret"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(32))
        self._secret = path.read_bytes()

    def password(self, access_key: str) -> tuple[str, int]:
        """Give a password for the owner of an access key, and when it expires."""
        until = int(time.time()) + _SECONDS
        content = base64.urlsafe_b64encode(json.dumps([access_key, until]).encode()).decode()
        return f"{content}.{self._signature(content)}", until

    def owner(self, authorization: str) -> str:
        """Read the access key out of an Authorization header; empty when it is not valid."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            user, _, password = base64.b64decode(encoded).decode().partition(":")
            content, _, signature = password.partition(".")
            valid = hmac.compare_digest(signature, self._signature(content))
            if scheme.lower() != "basic" or user != _USER or not valid:
                return ""
            access_key, until = json.loads(base64.urlsafe_b64decode(content))
        except (ValueError, binascii.Error):
            return ""
        return str(access_key) if time.time() < until else ""

    def _signature(self, content: str) -> str:
        return hmac.new(self._secret, content.encode(), hashlib.sha256).hexdigest()


def install(settings: Settings, tokens: Tokens) -> None:
    """Let ECR's API hand out such tokens, and name repositories by where Docker reaches them."""
    from ministack import app
    from ministack.core.router import extract_access_key_id

    handle = app.SERVICE_HANDLERS["ecr"]

    async def handled(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Response:
        status, out, content = await handle(method, path, headers, body, query)
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if status == 200 and action == "GetAuthorizationToken":
            password, until = tokens.password(extract_access_key_id(headers, query))
            content = json.dumps(
                {
                    "authorizationData": [
                        {
                            "authorizationToken": base64.b64encode(
                                f"{_USER}:{password}".encode()
                            ).decode(),
                            "expiresAt": until,
                            "proxyEndpoint": f"http://{HOST}:{settings.port}",
                        }
                    ]
                }
            ).encode()
        elif status == 200 and action.endswith(("Repository", "Repositories")):
            content = content.replace(
                f'"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/'.encode(),
                f'"{HOST}:{settings.port}/'.encode(),
            )
        return status, {k: v for k, v in out.items() if k.lower() != "content-length"}, content

    app.SERVICE_HANDLERS["ecr"] = handled
