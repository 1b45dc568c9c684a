"""Decisions of several policies together"""

from typing import Any

import pytest

from local.emulator.policies import document, evaluation
from local.emulator.policies.document import IDENTITY, REPOSITORY
from local.emulator.policies.evaluation import Caller, Request
from tests.security.iam_support import allow, deny, policy

ACCOUNT = "000000000000"
USER = Caller(arn=f"arn:aws:iam::{ACCOUNT}:user/alice", account=ACCOUNT)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/worker"
SESSION = Caller(
    arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/one", account=ACCOUNT, role_arn=ROLE
)
SERVICE = Caller(service="lambda.amazonaws.com")
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/id.example.com"
GET = "s3:GetObject"


def decided(
    caller: Caller,
    *identity: dict[str, Any],
    limits: list[dict[str, Any]] | None = None,
    resource: list[dict[str, Any]] | None = None,
    required: bool = False,
    same_account: bool = True,
) -> str:
    """The decision on s3:GetObject; `limits` are one boundary's statements."""
    request = Request(GET, "arn:aws:s3:::b/k", caller)
    layers = [] if limits is None else [[document.statements(policy(*limits), IDENTITY)]]
    own = [document.statements(policy(*identity), IDENTITY)] if identity else []
    outcome = evaluation.decide(request, own, *layers)
    if resource is not None:
        outcome, _ = evaluation.combine(
            request,
            outcome,
            document.statements(policy(*resource), REPOSITORY),
            same_account=same_account,
            required=required,
            limits=layers,
        )
    return outcome.decision.value


def shared(principal: Any, *, effect: str = "Allow", **more: Any) -> list[dict[str, Any]]:
    return [{"Effect": effect, "Principal": principal, "Action": GET, "Resource": "*", **more}]


@pytest.mark.holds("A deny wins wherever it stands: identity, boundary, session or resource.")
def test_a_deny_wins_wherever_it_stands() -> None:
    assert decided(USER, allow(GET), limits=[allow("*")], resource=shared("*")) == "Allow"
    assert decided(USER, allow(GET), deny(GET), resource=shared("*")) == "Deny"
    assert decided(USER, allow(GET), limits=[allow("*"), deny(GET)], resource=shared("*")) == "Deny"
    assert decided(USER, allow(GET), resource=shared("*", effect="Deny")) == "Deny"
    assert decided(USER, deny(GET), resource=shared({"AWS": USER.arn}), required=True) == "Deny"


@pytest.mark.holds("A boundary or a session's policy limits and never grants.")
def test_a_limit_grants_nothing() -> None:
    assert decided(USER, limits=[allow("*")]) == "ImplicitDeny"
    assert decided(USER, allow("*"), limits=[allow("iam:*")]) == "ImplicitDeny"
    assert decided(USER, allow("*"), limits=[allow(GET)]) == "Allow"


@pytest.mark.holds("A resource's policy grants as far as it names its caller.")
@pytest.mark.parametrize(
    ("caller", "principal", "alone", "within"),
    [
        (USER, "*", "Allow", "ImplicitDeny"),
        (USER, {"AWS": USER.arn}, "Allow", "Allow"),
        (USER, {"AWS": ACCOUNT}, "ImplicitDeny", "ImplicitDeny"),
        (USER, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "ImplicitDeny", "ImplicitDeny"),
        (USER, {"AWS": f"arn:aws:iam::{ACCOUNT}:user/Alice"}, "ImplicitDeny", "ImplicitDeny"),
        (USER, {"AWS": "111111111111"}, "ImplicitDeny", "ImplicitDeny"),
        (USER, {"Service": "lambda.amazonaws.com"}, "ImplicitDeny", "ImplicitDeny"),
        (USER, {"Federated": PROVIDER}, "ImplicitDeny", "ImplicitDeny"),
        (SESSION, {"AWS": SESSION.arn}, "Allow", "Allow"),
        (SESSION, {"AWS": ROLE}, "Allow", "ImplicitDeny"),
        (SESSION, {"AWS": f"arn:aws:iam::{ACCOUNT}:role/worker"}, "ImplicitDeny", "ImplicitDeny"),
        (SESSION, {"AWS": SESSION.arn + "s"}, "ImplicitDeny", "ImplicitDeny"),
    ],
)
def test_a_resource_policy_alone_and_within_a_boundary(
    caller: Caller, principal: Any, alone: str, within: str
) -> None:
    assert decided(caller, resource=shared(principal)) == alone
    assert decided(caller, limits=[allow("iam:*")], resource=shared(principal)) == within


@pytest.mark.holds("Where a resource's policy is required, identity policies alone are not enough.")
def test_the_policy_of_a_key_is_required() -> None:
    root = shared({"AWS": ACCOUNT})
    elsewhere = shared({"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"})
    assert decided(USER, allow(GET), resource=elsewhere) == "Allow"
    assert decided(USER, allow(GET), resource=elsewhere, required=True) == "ImplicitDeny"
    assert decided(USER, allow(GET), resource=root, required=True) == "Allow"
    assert decided(USER, resource=root, required=True) == "ImplicitDeny"
    assert decided(USER, resource=shared({"AWS": USER.arn}), required=True) == "Allow"


@pytest.mark.holds("Across accounts both sides must allow.")
def test_across_accounts_both_must_allow() -> None:
    named = shared({"AWS": USER.arn})
    assert decided(USER, resource=named, same_account=False) == "ImplicitDeny"
    assert decided(USER, allow(GET), resource=[], same_account=False) == "ImplicitDeny"
    assert decided(USER, allow(GET), resource=named, same_account=False) == "Allow"


@pytest.mark.holds("NotPrincipal spares whom it names, and nobody else.")
@pytest.mark.parametrize(
    ("caller", "spared", "decision"),
    [
        (USER, {"AWS": f"arn:aws:iam::{ACCOUNT}:user/bob"}, "Deny"),
        (USER, {"AWS": USER.arn}, "Allow"),
        (USER, {"AWS": [f"arn:aws:iam::{ACCOUNT}:root", USER.arn]}, "Allow"),
        (USER, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Deny"),
        (USER, {"AWS": ACCOUNT}, "Deny"),
        (USER, {"Service": "lambda.amazonaws.com"}, "Deny"),
        (USER, "*", "Allow"),
        (SESSION, {"AWS": ROLE}, "Deny"),
        (SESSION, {"AWS": [ROLE, SESSION.arn]}, "Allow"),
        (USER, {"CanonicalUser": "x"}, "Deny"),
    ],
)
def test_not_principal(caller: Caller, spared: Any, decision: str) -> None:
    (statement,) = shared("*", effect="Deny")
    statement["NotPrincipal"] = spared
    del statement["Principal"]
    assert decided(caller, allow(GET), resource=[statement]) == decision
    statement["Effect"] = "Allow"
    assert decided(caller, resource=[statement]) == "ImplicitDeny"


@pytest.mark.holds("A service is let in by its own name or by everybody's, and by no account's.")
@pytest.mark.parametrize(
    ("caller", "principal", "decision"),
    [
        (SERVICE, {"Service": "lambda.amazonaws.com"}, "Allow"),
        (SERVICE, {"Service": "LAMBDA.amazonaws.com"}, "ImplicitDeny"),
        (SERVICE, {"Service": "events.amazonaws.com"}, "ImplicitDeny"),
        (SERVICE, {"AWS": ACCOUNT}, "ImplicitDeny"),
        (SERVICE, "*", "Allow"),
        (Caller(federated=PROVIDER), {"Federated": PROVIDER}, "Allow"),
        (Caller(federated=PROVIDER), {"Federated": PROVIDER + "/x"}, "ImplicitDeny"),
        (Caller(federated=PROVIDER), {"AWS": ACCOUNT}, "ImplicitDeny"),
        (Caller(), {"AWS": ACCOUNT}, "ImplicitDeny"),
        (Caller(), {"AWS": "*"}, "Allow"),
        (
            Caller(arn=f"arn:aws:iam::{ACCOUNT}:root", account=ACCOUNT),
            {"Service": "lambda.amazonaws.com"},
            "ImplicitDeny",
        ),
    ],
)
def test_services_providers_and_nobody(caller: Caller, principal: Any, decision: str) -> None:
    found = document.statements(policy(*shared(principal)), REPOSITORY)
    request = Request(GET, "arn:aws:s3:::b/k", caller)
    assert evaluation.decide_resource(request, found).decision.value == decision


@pytest.mark.holds("A document that cannot be read denies everything.")
@pytest.mark.parametrize("text", ["{", "[]", "null", '{"Statement": 5}', '{"Version": "1"}', "{}"])
def test_a_document_that_cannot_be_read_denies(text: str) -> None:
    request = Request(GET, "arn:aws:s3:::b/k", USER)
    granting = document.statements(policy(allow("*")), IDENTITY)
    found = evaluation.decide(request, [granting, document.statements(text, IDENTITY)])
    assert found.decision is evaluation.Decision.DENY
