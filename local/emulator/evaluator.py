"""Puts this project's evaluator of policies (`policies`) in the place of ministack's.

Every decision of the emulator comes through the functions that are replaced here: of the calls it
serves, of trust and resource policies, of deliveries between services, and of simulations.
"""

import functools
import sys
from collections.abc import Sequence
from typing import Any

from local.emulator.policies import document, evaluation
from local.emulator.policies.document import IDENTITY, REPOSITORY, Malformed, Statement
from local.emulator.policies.evaluation import Caller, Outcome, Request
from local.emulator.policies.matching import Value

# Services whose resources' own policies must allow, even within the account.
_POLICY_REQUIRED = frozenset({"kms", "sts"})
_WEB_IDENTITY = "WebIdentityUser"
_NOBODY = ("*", "anonymous", "")


def install() -> None:
    """Replace ministack's evaluator."""
    from ministack.core import iam_evaluator

    resource_policy = iam_evaluator._resource_policy

    @functools.wraps(resource_policy)
    def policy_of(service: str, resource_arn: str) -> Any:
        if service == "sts" and ":role/" in resource_arn:
            return _trust_policy(resource_arn)
        return resource_policy(service, resource_arn)

    for name, replacement in {
        "parse_policy_document": parsed,
        "validate_policy_document": problem,
        "evaluate": evaluate,
        "evaluate_resource_policy": evaluate_resource_policy,
        "combine_resource_policy": combine_resource_policy,
        "evaluate_trust_policy": trusted,
        "_first_match": first_match,
        "_resource_policy": policy_of,
        # Tags of resources are looked up when a condition asks for them: see request_context.
        "_names_condition_key": lambda policies, prefix: False,
    }.items():
        replace(iam_evaluator, name, replacement)
    iam_evaluator._POLICY_REQUIRED = _POLICY_REQUIRED


def replace(module: Any, name: str, replacement: Any) -> None:
    """Put `replacement` in the place of a function, also where modules have imported it by name."""
    original = getattr(module, name)
    for other in [*sys.modules.values()]:
        if getattr(other, "__name__", "").startswith("ministack.") and (
            vars(other).get(name) is original
        ):
            setattr(other, name, replacement)
    setattr(module, name, replacement)


def parsed(doc: Any) -> list[Statement]:
    """The statements of an identity policy."""
    return [*document.statements(doc, IDENTITY)]


def problem(doc: Any) -> str | None:
    """Why AWS would not take an identity policy, or None."""
    try:
        document.check(doc, IDENTITY)
    except Malformed as error:
        return str(error)
    return None


def request_of(ctx: Any, service: str = "") -> Request:
    """What ministack asks, as the evaluator reads it; `service` names a service that asks."""
    return Request(
        action=ctx.action,
        resource=ctx.resource_arn,
        caller=caller_of(ctx, service),
        lookup=functools.partial(_looked_up, ctx),
    )


def caller_of(ctx: Any, service: str = "") -> Caller:
    """Who asks: a principal of an account, a service, an identity provider, or nobody."""
    arn = str(ctx.principal_arn)
    if service or ctx.principal_type == "Service":
        return Caller(service=service or arn)
    if ctx.principal_type == _WEB_IDENTITY:
        return Caller(federated=arn)
    if arn in _NOBODY:
        return Caller()
    if ":iam:" in arn and ":role/" in arn:
        # A simulation names a role where a call would have one of its sessions.
        name = arn.rpartition("/")[2]
        session = f"arn:aws:sts::{ctx.principal_account}:assumed-role/{name}/*"
        return Caller(arn=session, account=ctx.principal_account, role_arn=arn)
    return Caller(arn=arn, account=ctx.principal_account, role_arn=role_of_session(arn))


def role_of_session(arn: str) -> str:
    """The role of an assumed-role session's ARN; empty for other principals."""
    fields = arn.split(":", 5)
    if len(fields) < 6 or not fields[5].startswith("assumed-role/"):
        return ""
    from ministack.services import iam

    name = fields[5].split("/")[1]
    role = iam._roles.get_scoped(fields[4], None, name)
    return str((role or {}).get("Arn") or f"arn:aws:iam::{fields[4]}:role/{name}")


def _looked_up(ctx: Any, key: str) -> Value:
    from ministack.core import iam_evaluator

    found = iam_evaluator._resolve_condition_key(key, ctx)
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, list | tuple | set | frozenset):
        return [_text(value) for value in found]
    return _text(found)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _result(outcome: Outcome, ctx: Any) -> Any:
    from ministack.core.iam_evaluator import EvalResult

    sid = outcome.statement.sid if outcome.statement else ""
    return EvalResult(outcome.decision.value, ctx.principal_arn, sid)


def first_match(ctx: Any, statements: Sequence[Statement], effect: str) -> Statement | None:
    """The first statement of an identity policy that applies, with this effect."""
    return evaluation.first(request_of(ctx), statements, effect)


def evaluate(ctx: Any, policies: Any, *limits: Any) -> Any:
    """What identity policies decide within their limits."""
    return _result(evaluation.decide(request_of(ctx), policies, *limits), ctx)


def evaluate_resource_policy(doc: Any, ctx: Any, service: str | None = None) -> Any:
    """What the policy of a resource, or the trust policy of a role, decides."""
    policy = document.statements(doc, REPOSITORY) if doc else ()
    return _result(evaluation.decide_resource(request_of(ctx, service or ""), policy), ctx)


def combine_resource_policy(
    identity: Any,
    ctx: Any,
    policy: Any,
    owner_account: str | None,
    required: bool = False,
    limits: Sequence[Any] = (),
) -> Any:
    """A decision of identity policies together with the resource's own policy."""
    found, by_resource = evaluation.combine(
        request_of(ctx),
        Outcome(evaluation.Decision(identity.decision)),
        document.statements(policy, REPOSITORY) if policy else (),
        same_account=owner_account in (None, ctx.principal_account),
        required=required,
        limits=limits,
    )
    if not by_resource:
        return identity
    result = _result(found, ctx)
    if found.decision is evaluation.Decision.DENY:
        result.resource_policy_arn = ctx.resource_arn
    return result


def trusted(trust_doc: Any, caller_arn: str, ctx: Any = None) -> bool:
    """Whether a role's trust policy lets a caller assume it."""
    from ministack.core.iam_evaluator import EvalContext, _account_from_arn

    ctx = ctx or EvalContext(
        principal_arn=caller_arn,
        principal_type="User",
        principal_account=_account_from_arn(caller_arn) or "",
        action="sts:AssumeRole",
        resource_arn="*",
        region="",
    )
    return bool(evaluate_resource_policy(trust_doc, ctx).decision == "Allow")


def _trust_policy(role_arn: str) -> tuple[Any, str] | None:
    from ministack.services import iam

    account = role_arn.split(":")[4]
    role = iam._roles.get_scoped(account, None, role_arn.rpartition("/")[2])
    if role is None or role.get("Arn") != role_arn:
        return None
    return role.get("AssumeRolePolicyDocument"), account
