"""Service Quotas, as far as SageMaker's own quotas go: limits, requests for more, their history."""

import base64
import binascii
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any

from local.sagemaker import quota_values, validation, wire
from local.sagemaker.arns import Arns
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.faults import Faults
from local.sagemaker.permissions import Permission
from local.sagemaker.quotas import Quotas
from local.sagemaker.store import Document, Store
from quotas import table

SERVICE = "service-quotas"
_KIND = "quota-request"
_OPEN = ("PENDING", "CASE_OPENED")
_PAGE = 100
_THROTTLED = (
    "Due to throttling, the request was denied. Slow down the rate of request calls, or request an "
    "increase for this quota."
)
# Quotas whose value nobody here knows, since nothing of theirs runs here.
_UNKNOWN = {
    "ErrorCode": "SERVICE_QUOTA_NOT_AVAILABLE_ERROR",
    "ErrorMessage": "The local platform has nothing that counts against this quota, and AWS's "
    "value depends on the account.",
}


class ServiceQuotas:
    """Answers the Service Quotas API; requests for more wait until somebody here decides them."""

    def __init__(
        self, store: Store, quotas: Quotas, arns: Arns, faults: Faults, workers: Executor
    ) -> None:
        self._store = store
        self._quotas = quotas
        self._arns = arns
        self._faults = faults
        self._workers = workers
        self._operations: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
            "ListServiceQuotas": self._list,
            "GetServiceQuota": self._get,
            "ListAWSDefaultServiceQuotas": self._list_defaults,
            "GetAWSDefaultServiceQuota": self._get_default,
            "RequestServiceQuotaIncrease": self._request,
            "GetRequestedServiceQuotaChange": self._get_request,
            "ListRequestedServiceQuotaChangeHistory": self._history,
            "ListRequestedServiceQuotaChangeHistoryByQuota": self._history,
        }

    def call(
        self, operation: str, params: Mapping[str, Any], *, caller_arn: str = ""
    ) -> dict[str, Any]:
        """Do one operation; times are epoch seconds.

        Raises:
            ServiceError: what AWS would answer in place of a result.
        """
        validation.operation_model(operation, SERVICE)
        handler = self._operations.get(operation)
        if handler is None:
            raise ServiceError(
                "UnknownOperationException",
                f"{operation} is an operation of Service Quotas that the local platform does not "
                f"offer. It offers: {', '.join(sorted(self._operations))}.",
            )
        if self._faults.throttles(operation):
            raise ServiceError("TooManyRequestsException", _THROTTLED)
        checked = validation.checked(operation, params, SERVICE)
        if checked.get("ServiceCode", table.SERVICE) != table.SERVICE:
            raise _missing("service", f"The local platform has the quotas of {table.SERVICE} alone")
        if "QuotaCode" in checked and checked["QuotaCode"] not in table.names():
            raise _missing("quota", f"SageMaker has none with the code {checked['QuotaCode']}")
        return handler(checked, caller_arn)

    def required_permissions(self, operation: str, params: Mapping[str, Any]) -> list[Permission]:
        """List what the caller must be allowed; only a request for more is about one resource."""
        if operation != "RequestServiceQuotaIncrease":
            return [Permission(f"servicequotas:{operation}", "*")]
        service, code = (str(params.get(name, "")) for name in ("ServiceCode", "QuotaCode"))
        return [
            Permission(
                f"servicequotas:{operation}",
                f"arn:aws:servicequotas:{self._arns.region}:{self._arns.account}:{service}/{code}",
                {"servicequotas:service": service},
            )
        ]

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, caller_arn: str = ""
    ) -> wire.Answer:
        """Answer a request of the JSON 1.1 protocol."""
        return await wire.answered(
            self._workers,
            wire.operation(headers, "ServiceQuotasV20190624.") or f"{method} {path}",
            body,
            lambda operation, params: self.call(operation, params, caller_arn=caller_arn),
        )

    def table(self) -> list[dict[str, Any]]:
        """Every quota that is enforced here: AWS's default, what is allowed, and what is used."""
        used, changed = self._quotas.in_use(), self._quotas.changed()
        return [
            {
                "name": name,
                "code": code,
                "default": quota_values.on_aws(name),
                "limit": self._quotas.limit(name),
                "used": used[name],
                "changed": code in changed,
            }
            for name, code in table.codes().items()
            if quota_values.enforced(name)
        ]

    def administer(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        """Do what only AWS can do on AWS: `{"set": CODE, "value": 3}`, or decide a request.

        A request is decided by `{"approve": ID}` or `{"deny": ID}`.

        Raises:
            ServiceError: when there is no such quota or request, or the value is none.
        """
        match dict(wish):
            case {"approve": str(request)}:
                return self._decide(request, "APPROVED")
            case {"deny": str(request)}:
                return self._decide(request, "DENIED")
            case {"set": str(code), "value": int(value)} if value >= 0:
                name = table.names().get(code, "")
                if not quota_values.enforced(name):
                    raise invalid(f"The quota {name or code} is none that is enforced here.")
                self._quotas.change(code, value)
                return {"name": name, "code": code, "limit": value}
        raise invalid(
            f"{dict(wish)} is no wish about quotas. Wishes are: set with value, approve, deny."
        )

    def _decide(self, request_id: str, status: str) -> Document:
        """Do what AWS's staff would: APPROVED raises the limit, DENIED leaves it as it is."""
        found = self._find(request_id)
        if found["Status"] not in _OPEN:
            raise ServiceError(
                "InvalidResourceStateException",
                f"The request {request_id} is {found['Status']} already.",
            )
        if status == "APPROVED":
            self._quotas.change(found["QuotaCode"], int(found["DesiredValue"]))

        def edit(document: Document) -> None:
            document.update(Status=status, LastUpdated=time.time())

        return self._store.change(_KIND, request_id, edit) or found

    def _get(self, params: Mapping[str, Any], caller: str) -> dict[str, Any]:
        if "ContextId" in params:
            raise ServiceError(
                "NoSuchResourceException",
                "The request failed because applied value for the specified context Id do not "
                "exist.",
            )
        return {"Quota": self._applied(params["QuotaCode"])}

    def _list(self, params: Mapping[str, Any], caller: str) -> dict[str, Any]:
        codes: Iterable[str] = table.codes().values()
        if params.get("QuotaAppliedAtLevel") == "RESOURCE":
            codes = ()
        elif "QuotaCode" in params:
            codes = (params["QuotaCode"],)
        return _page("Quotas", [*codes], params, self._applied)

    def _get_default(self, params: Mapping[str, Any], caller: str) -> dict[str, Any]:
        return {"Quota": self._default(params["QuotaCode"])}

    def _list_defaults(self, params: Mapping[str, Any], caller: str) -> dict[str, Any]:
        return _page("Quotas", [*table.codes().values()], params, self._default)

    def _request(self, params: Mapping[str, Any], caller: str) -> dict[str, Any]:
        code, wanted = params["QuotaCode"], params["DesiredValue"]
        name = table.names()[code]
        if "ContextId" in params or not quota_values.enforced(name):
            raise ServiceError(
                "IllegalArgumentException",
                f"The local platform has nothing that counts against the quota {name}, so that "
                "there is nothing to increase."
                if "ContextId" not in params
                else "SageMaker's quotas are the account's: leave ContextId out.",
            )
        if wanted <= self._quotas.limit(name):
            raise ServiceError(
                "IllegalArgumentException",
                "You must provide a quota value greater than the current quota value",
            )
        if wanted != int(wanted):
            raise ServiceError("IllegalArgumentException", "The value must be a whole number.")
        now = time.time()
        document = {
            "Id": uuid.uuid4().hex + uuid.uuid4().hex[:8],
            "RequestType": "AUTOMATIC_MANAGEMENT",
            **self._named(code),
            "DesiredValue": float(wanted),
            "Status": "PENDING",
            "Created": now,
            "LastUpdated": now,
            "Requester": json.dumps({"accountId": self._arns.account, "callerArn": caller}),
            "QuotaRequestedAtLevel": "ACCOUNT",
        }
        if not self._store.add_unless(_KIND, document["Id"], document, self._same_quota(code)):
            raise ServiceError(
                "ResourceAlreadyExistsException",
                "Only one open service quota increase request is allowed per quota.",
            )
        return {"RequestedQuota": document}

    def _same_quota(self, code: str) -> Callable[[Document], bool]:
        return lambda other: other["QuotaCode"] == code and other["Status"] in _OPEN

    def _get_request(self, params: Mapping[str, Any], caller: str) -> dict[str, Any]:
        return {"RequestedQuota": self._find(params["RequestId"])}

    def _history(self, params: Mapping[str, Any], caller: str) -> dict[str, Any]:
        found = [
            one
            for one in self._store.all(_KIND)
            if params.get("QuotaCode") in (None, one["QuotaCode"])
            and params.get("Status") in (None, one["Status"])
            and params.get("QuotaRequestedAtLevel") != "RESOURCE"
        ]
        found.sort(key=lambda one: (-one["Created"], one["Id"]))
        return _page("RequestedQuotas", found, params, lambda one: one)

    def _find(self, request_id: str) -> Document:
        found = self._store.get(_KIND, request_id)
        if found is None:
            raise _missing("quota change request", f"There is none with the id {request_id}")
        return found

    def _named(self, code: str) -> dict[str, Any]:
        arn = f"arn:aws:servicequotas:{self._arns.region}:{self._arns.account}"
        return {
            "ServiceCode": table.SERVICE,
            "ServiceName": "Amazon SageMaker",
            "QuotaArn": f"{arn}:{table.SERVICE}/{code}",
            "QuotaCode": code,
            "QuotaName": table.names()[code],
            "GlobalQuota": False,
            "Unit": "None",
        }

    def _applied(self, code: str) -> dict[str, Any]:
        return {**self._valued(code, self._quotas.limit), "QuotaAppliedAtLevel": "ACCOUNT"}

    def _default(self, code: str) -> dict[str, Any]:
        return self._valued(code, quota_values.on_aws)

    def _valued(self, code: str, value: Callable[[str], int]) -> dict[str, Any]:
        name = table.names()[code]
        known = quota_values.enforced(name)
        said = {"Value": float(value(name))} if known else {"ErrorReason": _UNKNOWN}
        return {**self._named(code), **said, "Adjustable": known}


def _missing(what: str, why: str) -> ServiceError:
    return ServiceError(
        "NoSuchResourceException",
        f"The request failed because the specified {what} does not exist. ({why}.)",
    )


def _page(
    member: str,
    found: list[Any],
    params: Mapping[str, Any],
    shown: Callable[[Any], dict[str, Any]],
) -> dict[str, Any]:
    """One page of what was found, and the token of the next if there is one."""
    question = {
        key: value for key, value in params.items() if key not in ("NextToken", "MaxResults")
    }
    start = _offset(params.get("NextToken"), question)
    end = start + params.get("MaxResults", _PAGE)
    answer: dict[str, Any] = {member: [shown(one) for one in found[start:end]]}
    if end < len(found):
        answer["NextToken"] = base64.b64encode(json.dumps([end, question]).encode()).decode()
    return answer


def _offset(token: str | None, question: Mapping[str, Any]) -> int:
    if token is None:
        return 0
    try:
        offset, asked = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError, TypeError):
        offset, asked = None, None
    if not isinstance(offset, int) or asked != question:
        raise ServiceError(
            "InvalidPaginationTokenException",
            "You specified an invalid value for nextToken. You must get the value from the "
            "response to the previous API call.",
        )
    return offset
