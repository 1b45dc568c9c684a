"""What several policies together decide about a request.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html for one
account: no service control policies, and no policies of another account.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from local.emulator.policies import conditions, matching
from local.emulator.policies.document import Statement, Texts, Unreadable
from local.emulator.policies.matching import Lookup
from local.emulator.policies.truth import Truth, all_of, any_of, negation

Policy = Sequence[Statement]


class Decision(Enum):
    """What came of an evaluation."""

    ALLOW = "Allow"
    DENY = "Deny"
    IMPLICIT_DENY = "ImplicitDeny"


class Named(IntEnum):
    """How a policy names a caller: what it grants depends on it."""

    # As one of its account, to whose identity policies the rest is left.
    ACCOUNT = 1
    # By its role, or as everybody: boundaries and session policies still limit it.
    BROADLY = 2
    # As this very user or session.
    DIRECTLY = 3


@dataclass(frozen=True)
class Caller:
    """Who makes a request; a service, an identity provider or nobody has no ARN."""

    arn: str = ""
    account: str = ""
    # The role of a session.
    role_arn: str = ""
    service: str = ""
    federated: str = ""


def _nothing(key: str) -> None:
    return None


@dataclass(frozen=True)
class Request:
    """What is asked, by whom, and its context keys."""

    action: str
    resource: str
    caller: Caller = field(default_factory=Caller)
    lookup: Lookup = _nothing


@dataclass(frozen=True)
class Outcome:
    """A decision, the statement that made it, and how that names the caller."""

    decision: Decision
    statement: Statement | None = None
    named: Named | None = None


def decide(request: Request, policies: Iterable[Policy], *limits: Iterable[Policy]) -> Outcome:
    """The decision of identity policies, where each of `limits` must allow, too.

    A limit is a permissions boundary or the session policies; any Deny in it denies.
    """
    layers = [[each for policy in layer for each in policy] for layer in (policies, *limits)]
    for layer in layers:
        denying = first(request, layer, "Deny")
        if denying is not None:
            return Outcome(Decision.DENY, denying)
    allowing = first(request, layers[0], "Allow")
    if allowing is None or not all(first(request, layer, "Allow") for layer in layers[1:]):
        return Outcome(Decision.IMPLICIT_DENY)
    return Outcome(Decision.ALLOW, allowing)


def decide_resource(request: Request, policy: Policy) -> Outcome:
    """The decision of a resource's own policy, or of a role's trust policy."""
    best: Outcome = Outcome(Decision.IMPLICIT_DENY)
    for statement in policy:
        named = _naming(statement, request.caller)
        truth = all_of([_named(statement, named), _covers(statement, request)])
        if not _takes_effect(statement, truth):
            continue
        if statement.effect == "Deny":
            return Outcome(Decision.DENY, statement)
        if named is not None and (best.named is None or named > best.named):
            best = Outcome(Decision.ALLOW, statement, named)
    return best


def combine(
    request: Request,
    identity: Outcome,
    policy: Policy,
    *,
    same_account: bool,
    required: bool,
    limits: Sequence[Iterable[Policy]] = (),
) -> tuple[Outcome, bool]:
    """The decision of identity policies and a resource's policy, and whether the latter made it.

    Args:
        request: what is asked.
        identity: what the caller's own policies decided within `limits`.
        policy: that of the resource.
        same_account: whether the resource is the caller's account's.
        required: whether the resource's policy must allow in any case, as of keys and roles.
        limits: boundary and session policies.
    """
    if identity.decision is Decision.DENY:
        return identity, False
    resource = decide_resource(request, policy)
    if resource.decision is Decision.DENY:
        return resource, True
    allowed = resource.decision is Decision.ALLOW
    if identity.decision is Decision.ALLOW:
        if allowed or (same_account and not required):
            return identity, False
        return resource, True
    if not (allowed and same_account):
        return identity, False
    if resource.named is Named.DIRECTLY or (
        resource.named is Named.BROADLY
        and all(
            first(request, [each for one in layer for each in one], "Allow") for layer in limits
        )
    ):
        return resource, True
    return identity, False


def first(request: Request, statements: Iterable[Statement], effect: str) -> Statement | None:
    """The first statement of an identity policy with this effect that applies to the request."""
    for statement in statements:
        if statement.effect == effect and _takes_effect(statement, _covers(statement, request)):
            return statement
    return None


def _takes_effect(statement: Statement, truth: Truth) -> bool:
    return truth is not False if statement.effect == "Deny" else truth is True


def _covers(statement: Statement, request: Request) -> Truth:
    """Whether a statement is about a request, whoever makes it."""
    action = _listed(
        statement.actions,
        statement.not_actions,
        lambda pattern: matching.matches_action(pattern, request.action),
    )
    if action is False:
        return False
    resource = _listed(
        statement.resources,
        statement.not_resources,
        lambda pattern: _is_resource(pattern, request, statement),
    )
    if resource is False:
        return False
    found = statement.conditions
    met = None if isinstance(found, Unreadable) else conditions.met(found, request.lookup)
    return all_of([action, resource, met, True if statement.valid else None])


def _listed(positive: Texts, negative: Texts, matched: Callable[[str], Truth]) -> Truth:
    """Whether one of the patterns matches, or none of the negated; either element may be absent."""
    if isinstance(positive, Unreadable) or isinstance(negative, Unreadable):
        return None
    if positive is not None and negative is not None:
        return None
    if positive is not None:
        # A pattern with a variable that has no value matches nothing.
        return any_of(matched(pattern) or False for pattern in positive)
    if negative is not None:
        return negation(any_of(map(matched, negative)))
    return True


def _is_resource(pattern: str, request: Request, statement: Statement) -> Truth:
    """Whether `pattern` describes a request's resource; None when a variable has no value."""
    found = matching.resolved(pattern, request.lookup, variables=statement.variables)
    if found is None:
        return None
    return matching.matches(matching.completed(found), request.resource)


def _named(statement: Statement, named: Named | None) -> Truth:
    if statement.not_principals is not None:
        return negation(_spared(statement, named))
    if isinstance(statement.principals, Unreadable) or statement.principals is None:
        return None
    return named is not None


def _spared(statement: Statement, named: Named | None) -> Truth:
    if isinstance(statement.not_principals, Unreadable) or statement.principals is not None:
        return None
    return named is Named.DIRECTLY or (
        named is Named.BROADLY and ("AWS", "*") in (statement.not_principals or ())
    )


def _naming(statement: Statement, caller: Caller) -> Named | None:
    """How the Principal, or NotPrincipal, of a statement names the caller, if it does."""
    names = statement.principals if statement.not_principals is None else statement.not_principals
    if names is None or isinstance(names, Unreadable):
        return None
    found = [named for kind, name in names if (named := _same(kind, name, caller)) is not None]
    return max(found, default=None)


def _same(kind: str, name: str, caller: Caller) -> Named | None:
    if kind == "Service":
        return Named.DIRECTLY if caller.service and name.lower() == caller.service.lower() else None
    if kind == "Federated":
        return Named.DIRECTLY if caller.federated and name == caller.federated else None
    if name == "*":
        return Named.BROADLY
    if not caller.arn:
        return None
    if name == caller.arn:
        return Named.DIRECTLY
    if caller.role_arn and name == caller.role_arn:
        return Named.BROADLY
    if name in (caller.account, f"arn:aws:iam::{caller.account}:root"):
        return Named.ACCOUNT
    return None
