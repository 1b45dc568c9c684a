"""Which action on which resource a request is evaluated as: the one that will be served.

ministack reads the action wherever a request names one, and its handlers read one place each. A
request that named a harmless action in the wrong place was evaluated as that and served as another;
one whose action was not found at all was served to every signer. Resources are named as they are
stored: a key with its slashes, a role with its path, a KMS key by its ARN and not by an alias.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from local.emulator import passed_roles, request_members
from local.emulator.environment import ACCOUNT

# What no policy names but by a wildcard.
_UNKNOWN = "UnidentifiedOperation"
# Services of this project, whose handlers evaluate each call themselves.
_OWN = ("sagemaker", "runtime.sagemaker", "servicequotas")
# The services whose operations are named by a parameter, some by a header as well.
QUERY = frozenset(
    {
        *("iam", "sts", "ec2", "sns", "sqs", "cloudformation", "autoscaling", "rds", "ses"),
        *("elasticache", "elasticloadbalancing", "monitoring", "documentdb"),
    }
)
# Those of services that ministack serves and does not evaluate.
_NAMESPACES = {"documentdb": "rds", "kinesisanalyticsv2": "kinesisanalytics"}
_SMITHY_PATH = re.compile(r"/service/\w+/operation/(\w+)/?")
# IAM's names for operations of Lambda that share a permission.
_LAMBDA_ACTIONS = {
    "Invoke": "InvokeFunction",
    "InvokeAsync": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
    "GetLayerVersionByArn": "GetLayerVersion",
}
_FUNCTION = re.compile(r"/functions/([^/]+)")


def install() -> None:
    """Name actions and resources by what the handlers will do."""
    from ministack.core import iam_actions

    action = iam_actions.extract_iam_action
    resource = iam_actions.extract_resource_arn
    s3_action = iam_actions._s3_action
    s3_checks = iam_actions.s3_additional_checks
    model = iam_actions._load_botocore_model
    # Each operation of Lambda, where ministack's own table knows a few.
    iam_actions._BOTOCORE_SERVICE_MAP.setdefault("lambda", ["lambda"])
    for service, namespace in _NAMESPACES.items():
        iam_actions.SERVICE_TO_IAM_NAMESPACE.setdefault(service, namespace)

    @functools.wraps(action)
    def of_request(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
    ) -> str | None:
        namespace = iam_actions.SERVICE_TO_IAM_NAMESPACE.get(service, service)
        if service in _OWN:
            return None
        found = _served(service, method, path, headers, body, query_params, action)
        return found or f"{namespace}:{_UNKNOWN}"

    @functools.wraps(resource)
    def on_resource(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query_params: dict[str, Any],
        region: str,
        account_id: str,
    ) -> str:
        named = resource(service, method, path, headers, body, query_params, region, account_id)
        exact = _RESOURCES.get(service)
        found = exact(path, headers, body, query_params, str(named)) if exact else ""
        return found or str(named)

    @functools.wraps(s3_action)
    def of_s3(method: str, path: str, query_params: dict[str, Any]) -> Any:
        return s3_action(method, _two_levels(path), query_params)

    @functools.wraps(s3_checks)
    def also_of_s3(
        method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, Any]
    ) -> Any:
        bucket, key = bucket_and_key(path)
        found = s3_checks(method, _two_levels(path), headers, body, query_params)
        if not key:
            return found
        short, exact = f"arn:aws:s3:::{bucket}/key", f"arn:aws:s3:::{bucket}/{key}"
        source = iam_actions._s3_source_object(headers) or ("",)
        return [(name, exact if arn == short != source[0] else arn) for name, arn in found]

    @functools.wraps(model)
    def by_name(name: str) -> Any:
        # ministack names some services as its router does, and then finds no model.
        return model(passed_roles.MODELS.get(name, (name,))[0])

    iam_actions.extract_iam_action = of_request
    iam_actions.extract_resource_arn = on_resource
    iam_actions._s3_action = of_s3
    iam_actions.s3_additional_checks = also_of_s3
    iam_actions._load_botocore_model = by_name


def _served(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, Any],
    action: Any,
) -> str | None:
    from ministack.core import iam_actions

    namespace = iam_actions.SERVICE_TO_IAM_NAMESPACE.get(service, service)
    if service in QUERY:
        names = operations(path, headers, body, query)
        if service == "ses" and not names:
            found: str | None = action(service, method, path, headers, b"", {})
            return found
        return f"{namespace}:{next(iter(names))}" if len(names) == 1 else None
    target = iam_actions._action_from_target(headers)
    if service not in ("s3", "apigateway") and service not in iam_actions._BOTOCORE_SERVICE_MAP:
        return f"{namespace}:{target}" if target else None
    if service == "lambda":
        operation = iam_actions._match_rest_action(service, method, path, query)
        if operation:
            return f"{namespace}:{_LAMBDA_ACTIONS.get(operation, operation)}"
    plain = {name: value for name, value in query.items() if name != "Action"}
    kept = {k: v for k, v in headers.items() if k not in ("x-amz-target", "content-type")}
    found = action(service, method, path, kept, b"", plain)
    return found


def operations(
    path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> set[str]:
    """Every operation that a request names, wherever a handler might look."""
    smithy = _SMITHY_PATH.fullmatch(path)
    target = headers.get("x-amz-target", "").rpartition(".")[2]
    named = [smithy[1] if smithy else "", target]
    for given in (query.get("Action"), _body(body).get("Action")):
        named += given if isinstance(given, list) else [given or ""]
    return {str(name) for name in named if name}


def contradiction(body: bytes, query: Mapping[str, Any]) -> str:
    """A parameter that is given twice, with different values; empty when there is none."""
    inside = _body(body)
    for name in (*query, *inside):
        values: set[str] = set()
        for given in (query.get(name), inside.get(name)):
            values |= {str(each) for each in (given if isinstance(given, list) else [given])}
        if len(values - {"None"}) > 1:
            return str(name)
    return ""


def _body(body: bytes) -> Mapping[str, Any]:
    found = request_members.document(body)
    if found is None:
        return request_members.form(body) if body else {}
    # Lists of a document are values; of a form they are repetitions.
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}


def bucket_and_key(path: str) -> tuple[str, str]:
    """Bucket and key as S3 itself reads them from a path, with every slash of the key."""
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key


def _two_levels(path: str) -> str:
    bucket, key = bucket_and_key(path)
    return f"/{bucket}/key" if key else f"/{bucket}"


def _object(path: str, headers: Any, body: bytes, query: Mapping[str, Any], named: str) -> str:
    bucket, key = bucket_and_key(path)
    return f"arn:aws:s3:::{bucket}/{key}" if key else ""


def _key(path: str, headers: Any, body: bytes, query: Mapping[str, Any], named: str) -> str:
    """The ARN of the key behind an id or an alias, by which AWS evaluates."""
    from ministack.services import kms

    record = kms._resolve_key(named) if named != "*" else None
    return str(record["Arn"]) if record else ""


def _function(path: str, headers: Any, body: bytes, query: Mapping[str, Any], named: str) -> str:
    """A function by its ARN, whether it was named by that, by a part of it or by its name."""
    from ministack.services import lambda_svc

    match = _FUNCTION.search(path)
    if match is None or not named.startswith("arn:"):
        return ""
    name, qualifier = lambda_svc._resolve_name_and_qualifier(unquote(match[1]))
    head = ":".join(named.split(":")[:5])
    return f"{head}:function:{name}" + (f":{qualifier}" if qualifier else "")


def _log_group(path: str, headers: Any, body: bytes, query: Mapping[str, Any], named: str) -> str:
    found = request_members.value("logGroupIdentifier", body, query)
    if named != "*" or not isinstance(found, str) or not found:
        return ""
    if found.startswith("arn:"):
        return found.removesuffix(":*")
    from ministack.core.responses import get_region

    return f"arn:aws:logs:{get_region()}:{ACCOUNT}:log-group:{found}"


# IAM's resources by the parameter that names one, the most specific of an operation first.
_IAM = (
    ("InstanceProfileName", "instance-profile", "_instance_profiles"),
    ("GroupName", "group", "_groups"),
    ("RoleName", "role", "_roles"),
    ("UserName", "user", "_users"),
    ("PolicyName", "policy", ""),
)


def _entity(path: str, headers: Any, body: bytes, query: Mapping[str, Any], named: str) -> str:
    """An entity of IAM with its path: the one that it has, or that it shall have."""
    from ministack.core.responses import get_account_id
    from ministack.services import iam

    for parameter, kind, store in _IAM:
        name = iam._p(query, parameter)
        if not name:
            continue
        record = getattr(iam, store).get(name) if store else None
        if record:
            return str(record.get("Arn") or "")
        given = iam._p(query, "Path") or "/"
        return f"arn:aws:iam::{get_account_id()}:{kind}{given}{name}"
    return ""


_RESOURCES = {
    "s3": _object,
    "kms": _key,
    "lambda": _function,
    "logs": _log_group,
    "iam": _entity,
}
