"""Customer managed keys: a caller needs the key as well as what is encrypted with it, as on AWS.

S3, SNS and DynamoDB use a key with the caller's own permissions, which ministack does not evaluate.
"""

import contextvars
import functools
import re
from collections.abc import Mapping
from typing import Any

from local.emulator.authorized_operation import bucket_and_key
from local.emulator.environment import ACCOUNT, REGION

_KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"
# The key that AWS keeps for the account, for objects that are put without one.
_MANAGED_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/s3"
_SSE_HEADER = "x-amz-server-side-encryption"
# What the encryption context of the checks at hand is, for conditions of key policies.
_context: contextvars.ContextVar[Mapping[str, Any] | None] = contextvars.ContextVar(
    "smp_s3_kms", default=None
)
# The action on a key that was refused, and the key, for the message.
_refused: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar(
    "smp_kms_refused", default=None
)
_TABLE_DATA = re.compile(
    r"dynamodb:(Batch(Get|Write)Item|(Get|Put|Update|Delete|ConditionCheck)Item|Query|Scan)"
)


def install() -> None:
    """Evaluate kms:GenerateDataKey and kms:Decrypt for objects under a customer's key."""
    from ministack.core import iam_actions, iam_evaluator
    from ministack.services import s3

    checks = iam_actions.s3_additional_checks
    enforce = iam_evaluator.enforce
    denied = iam_actions.access_denied_response
    resolve = s3._resolve_sse_write_headers

    @functools.wraps(checks)
    def with_keys(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> list[tuple[str, str]]:
        return [*checks(method, path, headers, body, query), *_needed(method, path, headers, query)]

    @functools.wraps(enforce)
    def enforced(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        _refused.set(None)
        keys = companions(iam_action, resource_arn)
        if service == "s3" and iam_action.startswith("kms:"):
            # Asked for by with_keys() above, as a check of S3.
            keys = [(iam_action, resource_arn)]
        else:
            found = enforce(
                access_key_id, iam_action, service, region, resource_arn, service_context
            )
            if found is not None:
                return found
        for action, key in keys:
            # As KMS, so that the key's own policy takes part.
            found = enforce(
                access_key_id, action, "kms", region, key, _via(service, service_context)
            )
            if found is not None:
                _refused.set((action, key))
                return found
        return None

    @functools.wraps(denied)
    def worded(service: str, action: str, principal_arn: str, request_id: str, **rest: Any) -> Any:
        refused = _refused.get()
        if refused:
            rest["message"] = iam_actions.identity_denial_message(
                refused[0], principal_arn, refused[1], bool(rest.get("explicit_deny"))
            )
            action = refused[0]
            if service == "sns":
                rest["error_code"] = "KMSAccessDenied"
        return denied(service, action, principal_arn, request_id, **rest)

    @functools.wraps(resolve)
    def resolved(headers: dict[str, str], bucket_name: str) -> Any:
        if headers.get(_SSE_HEADER) == "aws:kms" and not headers.get(_KEY_HEADER):
            default = s3._bucket_default_sse_headers(bucket_name).get(_KEY_HEADER)
            headers = {**headers, _KEY_HEADER: default or _MANAGED_KEY}
        return resolve(headers, bucket_name)

    iam_actions.s3_additional_checks = with_keys
    iam_evaluator.enforce = enforced
    iam_actions.access_denied_response = worded
    s3._resolve_sse_write_headers = resolved


def refused() -> tuple[str, str] | None:
    """The action on a key, and the key, because of which the last call was refused."""
    return _refused.get()


def companions(action: str, resource_arn: str) -> list[tuple[str, str]]:
    """What else `action` needs, on the key that encrypts its topic or table."""
    if action == "sns:Publish":
        from ministack.services import sns

        topic = sns._topic_by_arn_any_scope(resource_arn)
        key = str((topic or {}).get("attributes", {}).get("KmsMasterKeyId") or "")
        return [*_of_key("kms:GenerateDataKey", key), *_of_key("kms:Decrypt", key)]
    if _TABLE_DATA.fullmatch(action):
        from ministack.services import dynamodb

        table = dynamodb._tables.get(resource_arn.partition(":table/")[2].partition("/")[0])
        description = (table or {}).get("SSEDescription") or {}
        return _of_key("kms:Decrypt", str(description.get("KMSMasterKeyArn") or ""))
    return []


def _via(service: str, context: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        **(context or {}),
        **((_context.get() or {}) if service == "s3" else {}),
        "kms:ViaService": f"{service}.{REGION}.amazonaws.com",
        "kms:CallerAccount": ACCOUNT,
        "aws:ViaAWSService": "true",
        "aws:CalledVia": [f"{service}.amazonaws.com"],
        "aws:CalledViaFirst": f"{service}.amazonaws.com",
        "aws:CalledViaLast": f"{service}.amazonaws.com",
    }


def _needed(
    method: str, path: str, headers: Mapping[str, str], query: Mapping[str, Any]
) -> list[tuple[str, str]]:
    from ministack.core import iam_actions
    from ministack.services import s3

    bucket, key = bucket_and_key(path)
    if not key:
        return []
    action = iam_actions._s3_action(method, path, query)
    needed: list[tuple[str, str]] = []
    if action == "PutObject" and method in ("PUT", "POST"):
        source = iam_actions._s3_source_object(headers)
        if source:
            from_bucket, _, from_key = source[0].removeprefix("arn:aws:s3:::").partition("/")
            needed += _of_key("kms:Decrypt", _stored_key(from_bucket, from_key, source[1]))
        upload = s3._multipart_uploads.get((query.get("uploadId") or [""])[0])
        if upload:
            used = s3._stored_sse_headers(upload).get(_KEY_HEADER, "")
            needed += _of_key("kms:Decrypt", used)
            if method == "PUT":
                needed += _of_key("kms:GenerateDataKey", used)
        else:
            used = headers.get(_KEY_HEADER, "")
            if not used and headers.get(_SSE_HEADER, "aws:kms") == "aws:kms":
                used = s3._bucket_default_sse_headers(bucket).get(_KEY_HEADER, "")
            needed += _of_key("kms:GenerateDataKey", used)
    elif action in ("GetObject", "GetObjectVersion") and method == "GET":
        version = (query.get("versionId") or [""])[0]
        needed += _of_key("kms:Decrypt", _stored_key(bucket, key, version))
    if needed:
        whole = "<BucketKeyEnabled>true" in str(s3._bucket_encryption.get(bucket) or "")
        about = f"arn:aws:s3:::{bucket}" if whole else f"arn:aws:s3:::{bucket}/{key}"
        _context.set({"kms:EncryptionContext:aws:s3:arn": about})
    return needed


def _stored_key(bucket: str, key: str, version: str | None) -> str:
    from ministack.services import s3

    record = (s3._buckets.get(bucket) or {}).get("objects", {}).get(key)
    if version and version != "null":
        found = s3._object_versions.get((bucket, key), [])
        record = next((one for one in found if one["version_id"] == version), record)
    return str(s3._stored_sse_headers(record).get(_KEY_HEADER, "")) if record else ""


def _of_key(action: str, key_id: str) -> list[tuple[str, str]]:
    from ministack.services import kms

    # Keys that AWS manages for the account let every principal of it use them through the service.
    if not key_id or "alias/aws/" in key_id:
        return []
    record = kms._resolve_key(key_id)
    return [(action, str(record["Arn"]) if record else key_id)]
