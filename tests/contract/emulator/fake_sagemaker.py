"""A SageMaker of a few dictionaries with the interface that the emulator mounts."""

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.sagemaker import faults
from local.sagemaker.arns import Arns
from local.sagemaker.quotas import Quotas
from local.sagemaker.service_quotas import ServiceQuotas
from local.sagemaker.store import Store

ACCOUNT = "000000000000"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
KINDS = {
    "Model": "model",
    "EndpointConfig": "endpoint-config",
    "Endpoint": "endpoint",
    "ModelPackageGroup": "model-package-group",
    "CodeRepository": "code-repository",
}


class ServiceError(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class Permission:
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


class FakeSageMaker:
    """Endpoints are in service at once, unless their configuration's name has `bad` in a tag."""

    def __init__(self, state: Path) -> None:
        self.faults = faults.Faults()
        self.closed = False
        store = Store(state / "fake.sqlite")
        self.service_quotas = ServiceQuotas(
            store,
            Quotas(store),
            Arns("us-east-1", ACCOUNT),
            faults.Faults(),
            ThreadPoolExecutor(2),
        )
        self._things: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def required_permissions(self, operation: str, params: Mapping[str, Any]) -> list[Permission]:
        kind = _split(operation)[1]
        name = str(params.get(f"{kind}Name", "*")) if kind else "*"
        resource = f"{ARN}:{KINDS[kind]}/{name}" if kind in KINDS else "*"
        found = [Permission(f"sagemaker:{operation}", resource)]
        if params.get("ExecutionRoleArn"):
            found.append(
                Permission(
                    "iam:PassRole",
                    str(params["ExecutionRoleArn"]),
                    {"iam:PassedToService": "sagemaker.amazonaws.com"},
                )
            )
        return found

    def call(self, operation: str, params: Mapping[str, Any], *, caller_arn: str) -> dict[str, Any]:
        verb, kind = _split(operation)
        if operation == "AddTags" or operation == "DeleteTags":
            return {}
        if kind not in KINDS:
            raise ServiceError("ValidationException", f"Unknown operation {operation}")
        name = str(params[f"{kind}Name"])
        key = (kind, name)
        arn = f"{ARN}:{KINDS[kind]}/{name}"
        with self._lock:
            if verb == "Create":
                if key in self._things:
                    raise ServiceError(
                        "ValidationException", f"Cannot create already existing {arn}"
                    )
                self._things[key] = {**params, f"{kind}Arn": arn, "Caller": caller_arn}
                self._settle(kind, name)
                return {f"{kind}Arn": arn}
            thing = self._things.get(key)
            if thing is None:
                raise ServiceError("ValidationException", f'Could not find {kind} "{arn}".')
            if verb == "Update" and kind == "CodeRepository":
                thing["GitConfig"] = {**thing["GitConfig"], **params["GitConfig"]}
                return {f"{kind}Arn": arn}
            if verb == "Update":
                before = thing["EndpointConfigName"]
                thing["EndpointConfigName"] = params["EndpointConfigName"]
                self._settle(kind, name)
                if "FailureReason" in thing:
                    thing["EndpointConfigName"] = before
                    thing["EndpointStatus"] = "InService"
                return {f"{kind}Arn": arn}
            if verb == "Delete":
                del self._things[key]
                return {}
            return dict(thing)

    def _settle(self, kind: str, name: str) -> None:
        if kind != "Endpoint":
            return
        endpoint = self._things[kind, name]
        config = self._things.get(("EndpointConfig", endpoint["EndpointConfigName"]), {})
        tags = {tag["Key"]: tag["Value"] for tag in config.get("Tags", [])}
        endpoint.pop("FailureReason", None)
        endpoint["EndpointStatus"] = "InService"
        if "fails" in tags:
            endpoint["EndpointStatus"] = "Failed"
            endpoint["FailureReason"] = tags["fails"]

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any
    ) -> tuple[int, dict[str, str], bytes]:
        operation = headers["x-amz-target"].partition(".")[2]
        try:
            out = self.call(operation, json.loads(body), caller_arn="http")
        except ServiceError as error:
            document = {"__type": error.code, "message": error.message}
            return error.status, {}, json.dumps(document).encode()
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(out).encode()

    async def handle_runtime(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any
    ) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0)
        return 200, {"Content-Type": headers.get("content-type", "")}, body[::-1]


def _split(operation: str) -> tuple[str, str]:
    for verb in ("Create", "Update", "Describe", "Delete"):
        if operation.startswith(verb):
            return verb, operation[len(verb) :]
    return (operation, "Endpoint") if operation.startswith("Invoke") else (operation, "")
