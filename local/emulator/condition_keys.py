"""Condition keys of services that ministack does not fill in."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from local.emulator import request_members
from local.emulator.environment import ACCOUNT

Context = dict[str, Any]

# The parameter that an operation's key repeats.
_REPEATED = {
    "sts": {
        "sts:ExternalId": "ExternalId",
        "sts:RoleSessionName": "RoleSessionName",
        "sts:SourceIdentity": "SourceIdentity",
        "aws:SourceIdentity": "SourceIdentity",
    },
    "iam": {"iam:PolicyARN": "PolicyArn", "iam:AWSServiceName": "AWSServiceName"},
    "kms": {"kms:RequestAlias": "KeyId", "kms:GranteePrincipal": "GranteePrincipal"},
    "sns": {"sns:Protocol": "Protocol", "sns:Endpoint": "Endpoint"},
    "lambda": {
        "lambda:Principal": "Principal",
        "lambda:FunctionUrlAuthType": "FunctionUrlAuthType",
        "lambda:FunctionArn": "FunctionName",
    },
}
_S3_HEADERS = (
    *("x-amz-content-sha256", "x-amz-copy-source", "x-amz-metadata-directive"),
    *("x-amz-server-side-encryption-aws-kms-key-id", "x-amz-storage-class"),
    *("x-amz-server-side-encryption-customer-algorithm", "x-amz-website-redirect-location"),
)


def install() -> None:
    """Give requests the keys by which roles are confined.

    PutMetricData has its namespace and PutEvents source and detail type of what is put: by them
    roles of jobs are confined to their own metrics, and functions to their own events.

    The context of tags is asked for just before each evaluation, with the body at hand.
    """
    from ministack.core import iam_actions

    tags = iam_actions.request_tag_context
    s3 = iam_actions.s3_service_context

    @functools.wraps(tags)
    def context(service: str, iam_action: str, body: bytes, params: dict[str, Any]) -> Context:
        found: Context = tags(service, iam_action, body, params)
        if iam_action == "cloudwatch:PutMetricData":
            found["cloudwatch:namespace"] = namespace(body, params)
        if iam_action == "events:PutEvents":
            found["events:source"] = of_entries(body, "Source")
            found["events:detail-type"] = of_entries(body, "DetailType")
        if iam_action == "events:PutTargets":
            found["events:TargetArn"] = _targets(body)
        for key, member in _REPEATED.get(service, {}).items():
            given = request_members.value(member, body, params)
            if isinstance(given, str) and given:
                found[key] = given
        also = _ALSO.get(service)
        return {**found, **(also(iam_action, body, params) if also else {})}

    @functools.wraps(s3)
    def of_object(
        iam_action: str,
        query_params: dict[str, Any] | None,
        path: str = "",
        headers: dict[str, str] | None = None,
    ) -> Context:
        found: Context = s3(iam_action, query_params, path, headers)
        return {**of_s3_request(iam_action, query_params or {}, headers or {}), **found}

    iam_actions.request_tag_context = context
    iam_actions.s3_service_context = of_object


def of_s3_request(iam_action: str, query: Mapping[str, Any], headers: Mapping[str, str]) -> Context:
    """The keys that S3 takes from how a request is signed, and from its headers."""
    signed = headers.get("authorization", "")
    found: Context = {
        "s3:authType": "REST-HEADER" if signed else "REST-QUERY-STRING",
        "s3:signatureversion": "AWS" if signed.startswith("AWS ") else "AWS4-HMAC-SHA256",
    }
    version = query.get("versionId")
    if version:
        found["s3:VersionId"] = version[0] if isinstance(version, list) else version
    if iam_action != "s3:PutObject":
        return found
    for name in _S3_HEADERS:
        if headers.get(name):
            found[f"s3:{name}"] = unquote(headers[name]) if "source" in name else headers[name]
    tags = parse_qs(headers.get("x-amz-tagging", ""), keep_blank_values=True)
    found.update({f"s3:RequestObjectTag/{name}": given[0] for name, given in tags.items()})
    if tags:
        found["s3:RequestObjectTagKeys"] = [*tags]
    return found


def _of_iam(iam_action: str, body: bytes, params: Mapping[str, Any]) -> Context:
    """The boundary that a request sets, or that the user or role already has."""
    from ministack.services import iam

    given = request_members.value("PermissionsBoundary", body, params)
    if not given and not iam_action.startswith("iam:Create"):
        role = iam._roles.get(str(request_members.value("RoleName", body, params)))
        user = iam._users.get(str(request_members.value("UserName", body, params)))
        given = (role or user or {}).get("PermissionsBoundary")
    return {"iam:PermissionsBoundary": str(given)} if given else {}


def _of_kms(iam_action: str, body: bytes, params: Mapping[str, Any]) -> Context:
    found: Context = {"kms:CallerAccount": ACCOUNT}
    for member in ("EncryptionContext", "SourceEncryptionContext"):
        given = request_members.value(member, body, params)
        if isinstance(given, dict) and given:
            found["kms:EncryptionContextKeys"] = [*given]
            found.update({f"kms:EncryptionContext:{name}": str(v) for name, v in given.items()})
    operations = request_members.value("Operations", body, params)
    if iam_action == "kms:CreateGrant":
        found["kms:GrantIsForAWSResource"] = "false"
        found["kms:GrantOperations"] = operations if isinstance(operations, list) else []
    if not str(request_members.value("KeyId", body, params)).startswith("alias/"):
        found["kms:RequestAlias"] = None
    return found


_ALSO: dict[str, Callable[[str, bytes, Mapping[str, Any]], Context]] = {
    "iam": _of_iam,
    "kms": _of_kms,
}


def _targets(body: bytes) -> list[str]:
    found = request_members.document(body)
    targets = found.get("Targets") if isinstance(found, dict) else None
    return [
        str(target.get("Arn", ""))
        for target in (targets if isinstance(targets, list) else [])
        if isinstance(target, dict)
    ]


def namespace(body: bytes, params: dict[str, Any]) -> str:
    """The namespace of a PutMetricData, in the protocols that ministack reads without cbor2."""
    given = params.get("Namespace") or parse_qs(body.decode("utf-8", "ignore")).get("Namespace")
    if given:
        return str(given[0] if isinstance(given, list) else given)
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("Namespace", "")) if isinstance(document, dict) else ""


def of_entries(body: bytes, member: str) -> str:
    """What all entries of a PutEvents have in common; empty when they differ."""
    try:
        entries = json.loads(body)["Entries"]
        values = {str(entry.get(member, "")) for entry in entries}
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""
    # AWS asks for each entry by itself; of several kinds at once no policy with one allows all.
    return values.pop() if len(values) == 1 else ""
