"""Properties of known CloudFormation types that ministack leaves out."""

import functools
from collections.abc import Callable, Mapping
from typing import Any
from xml.sax.saxutils import escape

_XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
# Properties that ministack's handler, or this module, applies; any other is refused by name.
_BUCKET_KNOWN = frozenset(
    {
        "BucketName",
        "CorsConfiguration",
        "NotificationConfiguration",
        "PublicAccessBlockConfiguration",
        "VersioningConfiguration",
        "WebsiteConfiguration",
        "BucketEncryption",
        "LifecycleConfiguration",
        "LoggingConfiguration",
        "OwnershipControls",
        "Tags",
    }
)


def install() -> None:
    """Let a bucket take its encryption, lifecycle, access logs, ownership and tags."""
    from ministack.services import s3
    from ministack.services.cloudformation import provisioners

    bucket = "AWS::S3::Bucket"
    provisioners._S3_BUCKET_CONFIGURATIONS = (
        *provisioners._S3_BUCKET_CONFIGURATIONS,
        _entry(
            "BucketEncryption", _encryption, s3._put_bucket_encryption, s3._delete_bucket_encryption
        ),
        _entry(
            "LifecycleConfiguration",
            _lifecycle,
            s3._put_bucket_lifecycle,
            s3._delete_bucket_lifecycle,
        ),
        _entry(
            "LoggingConfiguration",
            _logging,
            s3._put_bucket_logging,
            lambda name: s3._bucket_logging_config.pop(name, None),
        ),
        _entry(
            "OwnershipControls",
            _ownership,
            s3._put_bucket_ownership_controls,
            s3._delete_bucket_ownership_controls,
        ),
        _entry("Tags", _tags, _store_tags, lambda name: s3._bucket_tags.pop(name, None)),
    )
    provisioners._STACK_TAG_PROPERTY[bucket] = ("Tags", "list")
    handlers = provisioners._RESOURCE_HANDLERS[bucket]
    create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

    @functools.wraps(create)
    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        _refuse_unknown(props)
        return create(logical_id, props, stack_name)

    @functools.wraps(update)
    def updated(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
        _refuse_unknown(new)
        return update(physical_id, old, new, stack_name)

    @functools.wraps(delete)
    def deleted(physical_id: str, props: dict[str, Any]) -> None:
        record = s3._buckets.get(physical_id)
        versions = any(bucket == physical_id for bucket, _ in s3._object_versions)
        if record and (record["objects"] or versions):
            raise ValueError(
                "The bucket you tried to delete is not empty. You must delete all versions in the "
                "bucket. (Service: S3, Status Code: 409)"
            )
        delete(physical_id, props)

    handlers.update({"create": created, "update": updated, "delete": deleted})


def _refuse_unknown(props: Mapping[str, Any]) -> None:
    known = set(_BUCKET_KNOWN)
    if props.get("AccessControl") == "Private":
        # What every bucket is without it.
        known.add("AccessControl")
    unknown = sorted(set(props) - known)
    if unknown:
        raise ValueError(
            f"The local platform does not apply {', '.join(unknown)} of AWS::S3::Bucket; "
            f"it applies {', '.join(sorted(_BUCKET_KNOWN))}."
        )


def _entry(
    prop: str,
    to_body: Callable[[Any], bytes],
    put: Callable[[str, bytes], Any],
    delete: Callable[[str], Any],
) -> tuple[str, Callable[[Any], bytes], Callable[[str, bytes], None], Callable[[str], Any]]:
    def checked(name: str, body: bytes) -> None:
        answer = put(name, body)
        if answer and answer[0] >= 400:
            raise ValueError(f"{prop} of {name}: {answer[2].decode(errors='replace')}")

    return prop, to_body, checked, delete


def _xml(tag: str, inner: str, attributes: str = "") -> str:
    return f"<{tag}{' ' + attributes if attributes else ''}>{inner}</{tag}>"


def _text(tag: str, value: Any) -> str:
    if isinstance(value, bool):
        value = str(value).lower()
    return _xml(tag, escape(str(value)))


def _encryption(value: Mapping[str, Any]) -> bytes:
    rules = ""
    for rule in value.get("ServerSideEncryptionConfiguration", []):
        default = rule.get("ServerSideEncryptionByDefault") or {}
        inner = ""
        if default:
            fields = _text("SSEAlgorithm", default["SSEAlgorithm"])
            if default.get("KMSMasterKeyID"):
                fields += _text("KMSMasterKeyID", default["KMSMasterKeyID"])
            inner += _xml("ApplyServerSideEncryptionByDefault", fields)
        inner += _text("BucketKeyEnabled", rule.get("BucketKeyEnabled", False))
        rules += _xml("Rule", inner)
    return _xml("ServerSideEncryptionConfiguration", rules, _XMLNS).encode()


def _lifecycle(value: Mapping[str, Any]) -> bytes:
    return _xml(
        "LifecycleConfiguration", "".join(_rule(rule) for rule in value.get("Rules", [])), _XMLNS
    ).encode()


def _rule(rule: Mapping[str, Any]) -> str:
    conditions = []
    if rule.get("Prefix"):
        conditions.append(_text("Prefix", rule["Prefix"]))
    for tag in rule.get("TagFilters") or []:
        conditions.append(_xml("Tag", _text("Key", tag["Key"]) + _text("Value", tag["Value"])))
    for name in ("ObjectSizeGreaterThan", "ObjectSizeLessThan"):
        if name in rule:
            conditions.append(_text(name, rule[name]))
    inner = "".join(conditions) or _text("Prefix", "")
    out = _text("ID", rule["Id"]) if rule.get("Id") else ""
    out += _xml("Filter", _xml("And", inner) if len(conditions) > 1 else inner)
    out += _text("Status", rule["Status"])
    expiration = ""
    for name, tag in (
        ("ExpirationInDays", "Days"),
        ("ExpirationDate", "Date"),
        ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
    ):
        if name in rule:
            expiration += _text(tag, rule[name])
    if expiration:
        out += _xml("Expiration", expiration)
    noncurrent = dict(rule.get("NoncurrentVersionExpiration") or {})
    if "NoncurrentVersionExpirationInDays" in rule:
        noncurrent.setdefault("NoncurrentDays", rule["NoncurrentVersionExpirationInDays"])
    if noncurrent:
        out += _xml(
            "NoncurrentVersionExpiration", "".join(_text(k, v) for k, v in noncurrent.items())
        )
    if rule.get("AbortIncompleteMultipartUpload"):
        days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        out += _xml("AbortIncompleteMultipartUpload", _text("DaysAfterInitiation", days))
    for one in rule.get("Transitions") or []:
        when = (
            _text("Days", one["TransitionInDays"])
            if "TransitionInDays" in one
            else _text("Date", one["TransitionDate"])
        )
        out += _xml("Transition", when + _text("StorageClass", one["StorageClass"]))
    for one in rule.get("NoncurrentVersionTransitions") or []:
        out += _xml(
            "NoncurrentVersionTransition",
            _text("NoncurrentDays", one["TransitionInDays"])
            + _text("StorageClass", one["StorageClass"]),
        )
    return _xml("Rule", out)


def _logging(value: Mapping[str, Any]) -> bytes:
    inner = ""
    if value.get("DestinationBucketName"):
        inner = _xml(
            "LoggingEnabled",
            _text("TargetBucket", value["DestinationBucketName"])
            + _text("TargetPrefix", value.get("LogFilePrefix", "")),
        )
    return _xml("BucketLoggingStatus", inner, _XMLNS).encode()


def _ownership(value: Mapping[str, Any]) -> bytes:
    rules = "".join(
        _xml("Rule", _text("ObjectOwnership", rule["ObjectOwnership"]))
        for rule in value.get("Rules", [])
    )
    return _xml("OwnershipControls", rules, _XMLNS).encode()


def _tags(value: Any) -> bytes:
    import json

    return json.dumps({tag["Key"]: str(tag["Value"]) for tag in value}).encode()


def _store_tags(name: str, body: bytes) -> None:
    """Store tags directly: those that CloudFormation sets itself begin with aws:."""
    import json

    from ministack.services import s3

    s3._bucket_tags[name] = json.loads(body)
