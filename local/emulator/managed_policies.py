"""AWS's managed policies, as AWS publishes them; there are no others in its name.

moto ships the documents as data, which are read when one is first asked for. ministack has two
dozen of them, and attaches any name: such a role would have no permissions and nobody would know.
"""

import functools
import hashlib
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PREFIX = "arn:aws:iam::aws:policy"
# Every operation that attaches a policy, and every function that ministack calls without one.
_ATTACHING = ("AttachRolePolicy", "AttachUserPolicy", "AttachGroupPolicy")


def install() -> None:
    """Publish the policies and refuse to attach what is not there."""
    from ministack.services import iam

    published = PublishedPolicies(iam._aws_managed_policies)
    iam._aws_managed_policies = published
    iam._seed_aws_managed_policies = published.clear
    attach = iam.attach_managed_policy

    @functools.wraps(attach)
    def attached(entity: dict[str, Any], policy_arn: str) -> None:
        if not iam._policy_exists(policy_arn):
            raise ValueError(missing(policy_arn))
        attach(entity, policy_arn)

    def checked(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @functools.wraps(handler)
        def handled(params: Any) -> Any:
            arn = iam._p(params, "PolicyArn")
            if not iam._policy_exists(arn):
                return iam._error(404, "NoSuchEntity", missing(arn), ns="iam")
            return handler(params)

        return handled

    iam.attach_managed_policy = attached
    for operation in _ATTACHING:
        iam._IAM_HANDLERS[operation] = checked(iam._IAM_HANDLERS[operation])


def missing(arn: str) -> str:
    """What IAM says of a policy that is not there."""
    return f"Policy {arn} does not exist or is not attachable."


class PublishedPolicies(dict[str, Any]):
    """The policies by ARN, in ministack's form; read from moto's data at the first look."""

    def __init__(self, seeds: dict[str, Any]) -> None:
        super().__init__()
        # Those that ministack has and moto lacks, if any.
        self._seeds = dict(seeds)
        self._read = False
        self._reading = threading.Lock()

    def __getitem__(self, arn: str) -> Any:
        self._fill()
        return super().__getitem__(arn)

    def get(self, arn: str, default: Any = None) -> Any:
        """The policy of an ARN."""
        self._fill()
        return super().get(arn, default)

    def __contains__(self, arn: object) -> bool:
        self._fill()
        return super().__contains__(arn)

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return super().__iter__()

    def items(self) -> Any:
        """All policies with their ARNs."""
        self._fill()
        return super().items()

    def clear(self) -> None:
        """Begin anew: nobody can change what AWS publishes."""

    def _fill(self) -> None:
        if self._read:
            return
        with self._reading:
            if not self._read:
                self.update({**self._seeds, **published()})
                # Only now: another thread that finds none of them would deny what they allow.
                self._read = True


def published() -> dict[str, Any]:
    """All policies that AWS publishes, by ARN."""
    return {
        f"{_PREFIX}{found['Path']}{name}": _record(name, found) for name, found in _data().items()
    }


def _data() -> dict[str, Any]:
    """Read what moto ships, without the import of all of moto's IAM."""
    package = importlib.util.find_spec("moto")
    if package is None or package.origin is None:
        raise RuntimeError("moto is not installed; make setup installs it.")
    path = Path(package.origin).parent / "iam" / "aws_managed_policies.py"
    spec = importlib.util.spec_from_file_location("smp_aws_managed_policies", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} cannot be read.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Any] = json.loads(module.aws_managed_policies_data)
    return found


def _record(name: str, found: dict[str, Any]) -> dict[str, Any]:
    version, arn = found["DefaultVersionId"], f"{_PREFIX}{found['Path']}{name}"
    created, updated = (found[key].replace("+00:00", "Z") for key in ("CreateDate", "UpdateDate"))
    return {
        "PolicyName": name,
        "Arn": arn,
        "PolicyId": "ANPA" + hashlib.sha256(arn.encode()).hexdigest()[:17].upper(),
        "CreateDate": created,
        "UpdateDate": updated,
        "DefaultVersionId": version,
        "AttachmentCount": 0,
        "IsAttachable": True,
        "Path": found["Path"],
        "Description": "",
        "Tags": [],
        "Versions": {
            version: {
                "Document": json.dumps(found["Document"], separators=(",", ":")),
                "VersionId": version,
                "IsDefaultVersion": True,
                "CreateDate": updated,
            }
        },
    }
