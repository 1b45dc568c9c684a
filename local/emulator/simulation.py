"""IAM's policy simulator, which answers by the evaluator that decides every call here.

ministack's own looks at one resource, takes no context and names no policy. The rules are those of
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html; where in a
document a statement stands (StartPosition, EndPosition) the evaluator does not know.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from local.emulator.environment import ACCOUNT, REGION
from local.emulator.policies import document
from local.emulator.policies.document import (
    IDENTITY,
    REPOSITORY,
    Malformed,
    Rules,
    Statement,
)

_ACTION = re.compile(r"[a-zA-Z0-9-]+:[a-zA-Z0-9]+")
_PRINCIPAL = re.compile(r"arn:aws:iam::([0-9]{12}):(user|group|role)/(?:.*/)?([^/]+)")
_PAGE = 100
# A simulation has no request that these could be taken from.
_OF_THE_REQUEST = ("aws:sourceip", "aws:securetransport")
_DECISIONS = {"Allow": "allowed", "Deny": "explicitDeny", "ImplicitDeny": "implicitDeny"}

Answer = tuple[int, dict[str, str], bytes]
Parameters = Mapping[str, Any]


class Invalid(Exception):
    """The request cannot be simulated; code and message as AWS words them."""

    def __init__(self, message: str, code: str = "InvalidInput", status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


@dataclass(frozen=True)
class Source:
    """One policy document, and what the simulator calls it."""

    name: str
    kind: str
    statements: Sequence[Statement]


@dataclass
class Simulation:
    """All that is the same for every action and resource of a request."""

    principal: str
    policies: Sequence[Source]
    boundary: Sequence[Source] | None
    resource_policy: str
    owner: str
    context: Mapping[str, Any]


@dataclass
class Verdict:
    """What came of one action on one resource."""

    action: str
    resource: str
    decision: str
    matched: Sequence[Source]
    missing: Sequence[str]
    within_boundary: bool | None
    named: bool = field(default=True)


def install() -> None:
    """Put the simulator in the place of ministack's, and let conditions see its context."""
    from ministack.core import iam_evaluator
    from ministack.services import iam

    iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = lambda p: _answer("SimulatePrincipalPolicy", p)
    iam._IAM_HANDLERS["SimulateCustomPolicy"] = lambda p: _answer("SimulateCustomPolicy", p)
    resolve = iam_evaluator._resolve_condition_key

    @functools.wraps(resolve)
    def resolved(key: str, ctx: Any) -> Any:
        missing = getattr(ctx, "missing", None)
        if missing is None:
            return resolve(key, ctx)
        found = ctx.service_context.get(key.lower())
        if found is None and key.lower() not in _OF_THE_REQUEST:
            found = resolve(key, ctx)
        if found is None and key not in missing:
            missing.append(key)
        return found

    iam_evaluator._resolve_condition_key = resolved


def _answer(operation: str, params: Parameters) -> Answer:
    from ministack.services import iam

    try:
        simulation = _simulation(operation, params)
        actions = _actions(params)
        resources = _values(params, "ResourceArns")
        verdicts = [
            _verdict(simulation, action, resource or "*", named=bool(resource))
            for action in actions
            for resource in resources or [""]
        ]
        shown, marker = _page(verdicts, params)
    except Invalid as error:
        answer: Answer = iam._error(error.status, error.code, escape(str(error)), ns="iam")
        return answer
    content = "".join(map(_shown, shown))
    more = f"<Marker>{marker}</Marker>" if marker else ""
    answer = iam._xml(
        200,
        f"{operation}Response",
        f"<{operation}Result><EvaluationResults>{content}</EvaluationResults>"
        f"<IsTruncated>{str(bool(marker)).lower()}</IsTruncated>{more}</{operation}Result>",
        ns="iam",
    )
    return answer


def _simulation(operation: str, params: Parameters) -> Simulation:
    given = [
        Source(f"PolicyInputList.{number}", "none", _parsed(text))
        for number, text in enumerate(_values(params, "PolicyInputList"), 1)
    ]
    principal = caller = _value(params, "CallerArn")
    policies, boundary = given, None
    if operation == "SimulatePrincipalPolicy":
        principal = _value(params, "PolicySourceArn")
        kind, name = _principal(principal)
        policies = [*_policies(kind, name), *given]
        boundary = _boundary(kind, name)
    limits = _values(params, "PermissionsBoundaryPolicyInputList")
    if len(limits) > 1:
        raise Invalid("PermissionsBoundaryPolicyInputList takes one policy.")
    if limits:
        name = "PermissionsBoundaryPolicyInputList.1"
        boundary = [Source(name, "none", _parsed(limits[0]))]
    resource_policy = _value(params, "ResourcePolicy")
    if resource_policy:
        _parsed(resource_policy, REPOSITORY)
        if not (caller or principal):
            raise Invalid("A ResourcePolicy needs a CallerArn, by whom the resource is used.")
    owner = _value(params, "ResourceOwner") or f"arn:aws:iam::{ACCOUNT}:root"
    return Simulation(
        principal=caller or principal or f"arn:aws:iam::{ACCOUNT}:root",
        policies=policies,
        boundary=boundary,
        resource_policy=resource_policy,
        owner=owner.split(":")[4] if owner.startswith("arn:") else owner,
        context=_context(params),
    )


def _verdict(simulation: Simulation, action: str, resource: str, *, named: bool) -> Verdict:
    from ministack.core import iam_evaluator

    context = iam_evaluator.EvalContext(
        principal_arn=simulation.principal,
        principal_type="User" if ":user/" in simulation.principal else "AssumedRole",
        principal_account=simulation.principal.split(":")[4] or ACCOUNT,
        action=action,
        resource_arn=resource,
        region=REGION,
        service_context={"aws:tagkeys": None, **simulation.context},
    )
    context.missing = []
    policies = [source.statements for source in simulation.policies]
    limits = []
    if simulation.boundary is not None:
        limits = [[source.statements for source in simulation.boundary]]
    found = identity = iam_evaluator.evaluate(context, policies, *limits)
    if simulation.resource_policy:
        found = iam_evaluator.combine_resource_policy(
            identity,
            context,
            simulation.resource_policy,
            simulation.owner,
            required=action.split(":")[0] in iam_evaluator._POLICY_REQUIRED,
            limits=tuple(limits),
        )
    effect = "Deny" if found.decision == "Deny" else "Allow"
    sources = [*simulation.policies, *((simulation.boundary or []) if effect == "Deny" else [])]
    matched = [
        source
        for source in sources
        if iam_evaluator._first_match(context, source.statements, effect) is not None
    ]
    if found is not identity:
        matched.append(Source("ResourcePolicy", "resource", ()))
    return Verdict(
        action=action,
        resource=resource,
        decision=_DECISIONS[found.decision],
        matched=matched if found.decision != "ImplicitDeny" else [],
        missing=context.missing,
        within_boundary=(
            iam_evaluator.evaluate(context, *limits).decision == "Allow" if limits else None
        ),
        named=named,
    )


def _shown(verdict: Verdict) -> str:
    """A verdict; of a resource that was named, what lacks is said with that resource."""
    matched = "".join(
        f"<member><SourcePolicyId>{escape(source.name)}</SourcePolicyId>"
        f"<SourcePolicyType>{source.kind}</SourcePolicyType></member>"
        for source in verdict.matched
    )
    missing = "".join(f"<member>{escape(key)}</member>" for key in verdict.missing)
    boundary = ""
    if verdict.within_boundary is not None:
        allowed = str(verdict.within_boundary).lower()
        boundary = (
            "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>"
            f"{allowed}</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>"
        )
    resource = escape(verdict.resource)
    specific = ""
    if verdict.named:
        specific = (
            f"<ResourceSpecificResults><member><EvalResourceName>{resource}</EvalResourceName>"
            f"<EvalResourceDecision>{verdict.decision}</EvalResourceDecision>"
            f"<MatchedStatements>{matched}</MatchedStatements>"
            f"<MissingContextValues>{missing}</MissingContextValues>{boundary}"
            "</member></ResourceSpecificResults>"
        )
        missing = ""
    return (
        f"<member><EvalActionName>{escape(verdict.action)}</EvalActionName>"
        f"<EvalResourceName>{resource}</EvalResourceName>"
        f"<EvalDecision>{verdict.decision}</EvalDecision>"
        f"<MatchedStatements>{matched}</MatchedStatements>"
        f"<MissingContextValues>{missing}</MissingContextValues>{boundary}{specific}</member>"
    )


def _principal(arn: str) -> tuple[str, str]:
    from ministack.services import iam

    found = _PRINCIPAL.fullmatch(arn)
    if found is None:
        raise Invalid(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    account, kind, name = found.groups()
    known = {"user": iam._users, "group": iam._groups, "role": iam._roles}[kind]
    if account != ACCOUNT or (known.get(name) or {}).get("Arn") != arn:
        raise Invalid(
            f"The {kind} with name {name} cannot be found.", code="NoSuchEntity", status=404
        )
    return kind, name


def _policies(kind: str, name: str) -> list[Source]:
    """The policies of a user, with those of its groups, of a group or of a role."""
    from ministack.services import iam

    if kind == "role":
        role = iam._roles.get(name)
        return [*_own(kind, name, role.get("InlinePolicies") or {}, role)]
    if kind == "group":
        inline = iam._group_inline_policies.get(name) or {}
        return [*_own(kind, name, inline, iam._groups.get(name))]
    inline = iam._user_inline_policies.get(name) or {}
    found = [*_own(kind, name, inline, iam._users.get(name))]
    for group, record in iam._groups.items():
        if name in record.get("Users", []):
            found += _policies("group", group)
    return found


def _own(kind: str, name: str, inline: Mapping[str, Any], entity: Any) -> Iterator[Source]:
    for policy, text in inline.items():
        yield Source(f"{kind}_{name}_{policy}", kind, document.statements(text, IDENTITY))
    for arn in entity.get("AttachedPolicies", []):
        yield _managed(arn)


def _managed(arn: str) -> Source:
    from ministack.core.iam_evaluator import _resolve_managed_policy_document

    kind = "aws-managed" if arn.startswith("arn:aws:iam::aws:") else "user-managed"
    text = _resolve_managed_policy_document(arn, ACCOUNT)
    return Source(arn.rpartition("/")[2], kind, document.statements(text, IDENTITY) if text else ())


def _boundary(kind: str, name: str) -> list[Source] | None:
    from ministack.services import iam

    if kind == "group":
        return None
    entity = (iam._users if kind == "user" else iam._roles).get(name)
    arn = entity.get("PermissionsBoundary")
    return [_managed(arn)] if arn else None


def _parsed(text: str, rules: Rules = IDENTITY) -> Sequence[Statement]:
    try:
        document.check(text, rules)
    except Malformed as error:
        raise Invalid(f"Invalid policy: {error}") from error
    return document.statements(text, rules)


def _actions(params: Parameters) -> list[str]:
    actions = _values(params, "ActionNames")
    if not actions:
        raise Invalid("ActionNames must name at least one action.", code="ValidationError")
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise Invalid(
                f"Invalid Action {action!r}: it must be service:Operation, without wildcards."
            )
    return actions


def _context(params: Parameters) -> dict[str, Any]:
    found: dict[str, Any] = {}
    prefix = "ContextEntries.member"
    number = 1
    while name := _value(params, f"{prefix}.{number}.ContextKeyName"):
        values = _values(params, f"{prefix}.{number}.ContextKeyValues")
        several = _value(params, f"{prefix}.{number}.ContextKeyType").endswith("List")
        if not several and len(values) != 1:
            raise Invalid(f"Context key {name} needs one value; it has {len(values)}.")
        found[name.lower()] = values if several else values[0]
        number += 1
    return found


def _page(verdicts: Sequence[Verdict], params: Parameters) -> tuple[Sequence[Verdict], str]:
    marker, size = _value(params, "Marker"), _value(params, "MaxItems")
    if marker and not (marker.isdecimal() and int(marker) < len(verdicts)):
        raise Invalid(f"Invalid Marker: {marker}.", code="ValidationError")
    start = int(marker or 0)
    end = start + int(size or _PAGE)
    return verdicts[start:end], str(end) if end < len(verdicts) else ""


def _value(params: Parameters, name: str) -> str:
    found = params.get(name, "")
    return str(found[0] if isinstance(found, list) else found)


def _values(params: Parameters, name: str) -> list[str]:
    found: list[str] = []
    while value := _value(params, f"{name}.member.{len(found) + 1}"):
        found.append(value)
    return found
