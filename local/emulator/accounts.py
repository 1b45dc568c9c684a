"""Further accounts of the platform, and what keeps accounts apart."""

import functools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.emulator.authentication import Caller
from local.emulator.environment import ACCOUNT, REGION
from local.emulator.refusals import Failure, Refused

USER = "smp-administrator"
# Of the first account alone: this project's services, and those whose tasks act in its name.
_SINGLE = {
    "sagemaker": "SageMaker",
    "servicequotas": "Service Quotas",
    "application-autoscaling": "Application Auto Scaling",
    "cloudformation": "CloudFormation",
    "states": "Step Functions",
    "ecr": "ECR",
    "smp": "the platform's control",
}
_NUMBER = re.compile("[0-9]{12}")
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@dataclass(frozen=True)
class Key:
    """An access key."""

    access_key: str
    secret_key: str


def install() -> None:
    """Refuse a caller of one account the resources of another that do not let the caller in."""
    from ministack.core import iam_evaluator

    enforce = iam_evaluator.enforce

    @functools.wraps(enforce)
    def enforced(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        found = enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        parts = resource_arn.split(":", 5)
        owner = parts[4] if len(parts) == 6 else ""
        # Who may assume a role is decided by the role's own trust policy.
        if found is not None or not _NUMBER.fullmatch(owner) or iam_action == "sts:AssumeRole":
            return found
        principal = iam_evaluator.resolve_caller_identity(access_key_id) or {}
        caller = str(principal.get("userArn", "")).split(":", 5)
        if len(caller) < 6 or caller[4] == owner or owner not in _local():
            # Of an account that is AWS's own, such as that of the built-in algorithms' images.
            return found
        if iam_evaluator._resource_policy(service, resource_arn) is not None:
            # Both accounts' policies were evaluated, as AWS asks of a call across accounts.
            return found
        return iam_evaluator.EvalResult("ImplicitDeny", principal_arn=str(principal["userArn"]))

    iam_evaluator.enforce = enforced


def _local() -> set[str]:
    """The accounts that are here."""
    from ministack.services import iam

    return {ACCOUNT} | {account for account, _ in [*iam._access_keys._data]}


def check(caller: Caller) -> None:
    """Refuse a caller of a further account at a service that has only the first.

    Raises:
        Refused: The service keeps nothing of the caller's account.
    """
    name = _SINGLE.get(caller.service)
    if name and caller.account != ACCOUNT:
        raise Refused(
            Failure.FORBIDDEN,
            f"On the local platform, {name} belongs to account {ACCOUNT} alone, and the caller to "
            f"{caller.account}.",
        )


def administrator(account: str, known: Key | None = None) -> Key:
    """The key of an account's administrator; `known`, when it is that and in use.

    Raises:
        ValueError: The account is no number of twelve digits.
    """
    if not _NUMBER.fullmatch(account):
        raise ValueError(f"An account is a number of twelve digits, not {account[:40]!r}.")
    from ministack.core.responses import request_scope
    from ministack.services import iam

    with request_scope(account, REGION):
        record = iam._access_keys.get(known.access_key) if known else None
        if (
            known
            and record
            and record.get("UserName") == USER
            and record.get("Status") == "Active"
            and record.get("SecretAccessKey") == known.secret_key
        ):
            return known
        if iam._users.get(USER) is None:
            _do(iam._create_user, UserName=USER)
        for key, record in [*iam._access_keys.items()]:
            # Of an earlier start that was interrupted: nobody knows its secret any more.
            if record.get("UserName") == USER:
                _do(iam._delete_access_key, UserName=USER, AccessKeyId=key)
        _do(
            iam._put_user_policy,
            UserName=USER,
            PolicyName="Administrator",
            PolicyDocument=json.dumps(_POLICY),
        )
        before = {*iam._access_keys.keys()}
        _do(iam._create_access_key, UserName=USER)
        (made,) = {*iam._access_keys.keys()} - before
        return Key(made, str(iam._access_keys[made]["SecretAccessKey"]))


def _do(operation: Any, **params: str) -> None:
    status, _, body = operation({name: [value] for name, value in params.items()})
    if status != 200:
        raise RuntimeError(f"IAM refused {operation.__name__}: {body.decode()[:500]}")


def read(path: Path) -> Key | None:
    """The key in a file; None when there is none, or none that can be read."""
    try:
        return Key(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write(path: Path, key: Key) -> None:
    """Write a key where its owner alone can read it, in one step."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"access_key": key.access_key, "secret_key": key.secret_key}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
