"""Policies of IAM at random, decided twice"""

import os
from collections import Counter
from random import Random
from typing import Any

import pytest

from local.emulator.policies import document, evaluation
from local.emulator.policies.document import IDENTITY, REPOSITORY, RESOURCE, TRUST, Malformed
from local.emulator.policies.evaluation import Caller, Outcome, Request
from tests.security import iam_generator, iam_reference

pytestmark = pytest.mark.soak
# A soak sets more: 2,000 and another seed.
NUMBER = int(os.environ.get("IAM_COMPARISONS", "300"))
SEED = int(os.environ.get("IAM_SEED", "1"))
KINDS = {"identity": IDENTITY, "resource": RESOURCE, "trust": TRUST}


def asked(request: dict[str, Any]) -> Request:
    caller = request["caller"]
    return Request(
        request["action"],
        request["resource"],
        Caller(
            arn=caller.get("arn", ""),
            account=caller.get("account", ""),
            role_arn=caller.get("role", ""),
            service=caller.get("service", ""),
            federated=caller.get("federated", ""),
        ),
        lambda key: request["context"].get(key.lower()),
    )


def taken(text: str, kind: str) -> bool:
    try:
        document.check(text, KINDS[kind])
    except Malformed:
        return False
    return True


def valid(random: Random, kind: str) -> str:
    while not taken(text := iam_generator.policy(random, kind), kind):
        pass
    return text


def decided(
    request: dict[str, Any],
    identity: list[str],
    limits: list[list[str]],
    resource: str | None,
    *,
    required: bool,
) -> str:
    def read(texts: list[str]) -> list[Any]:
        return [document.statements(text, IDENTITY) for text in texts]

    layers = [read(limit) for limit in limits]
    found: Outcome = evaluation.decide(asked(request), read(identity), *layers)
    if resource is not None:
        found, _ = evaluation.combine(
            asked(request),
            found,
            document.statements(resource, REPOSITORY),
            same_account=True,
            required=required,
            limits=layers,
        )
    return found.decision.value


@pytest.mark.holds(
    "Generated policies and requests are decided as IAM's documentation decides them."
)
def test_generated_policies_are_decided_as_a_second_implementation_decides_them() -> None:
    random = Random(SEED)
    seen: Counter[str] = Counter()
    for number in range(NUMBER):
        caller = iam_generator.CALLERS[random.randrange(3)]
        request = iam_generator.request(random, caller)
        identity = [valid(random, "identity") for _ in range(random.choice((0, 1, 1, 2)))]
        limits = [[valid(random, "identity")] for _ in range(random.choice((0, 0, 0, 1, 2)))]
        resource = valid(random, "resource") if random.random() < 0.5 else None
        required = random.random() < 0.3
        here = decided(request, identity, limits, resource, required=required)
        there = iam_reference.decision(
            request, identity, limits, resource, required=required and resource is not None
        )
        seen[here] += 1
        assert here == there, (number, request, identity, limits, resource, required)
    assert min(seen[name] for name in ("Allow", "Deny", "ImplicitDeny")) > NUMBER / 20


@pytest.mark.holds("A generated trust or resource policy lets in whom IAM's documentation lets in.")
@pytest.mark.parametrize("kind", ["resource", "trust"])
def test_generated_policies_of_resources_name_whom_a_second_implementation_names(kind: str) -> None:
    random = Random(SEED)
    seen: Counter[str] = Counter()
    for number in range(NUMBER):
        request = iam_generator.request(
            random, random.choice(iam_generator.CALLERS), trust=kind == "trust"
        )
        text = valid(random, kind)
        outcome = evaluation.decide_resource(asked(request), document.statements(text, REPOSITORY))
        denied = iam_reference.hits([text], "Deny", request, addressed=True)
        allowed = iam_reference.hits([text], "Allow", request, addressed=True)
        there = "Deny" if denied else "Allow" if allowed else "ImplicitDeny"
        here = outcome.decision.value
        seen[here] += 1
        assert here == there, (number, request, text)
        if here == "Allow":
            assert outcome.named == allowed, (number, request, text)
    assert min(seen[name] for name in ("Allow", "Deny", "ImplicitDeny")) > NUMBER / 50


@pytest.mark.holds("A generated document is stored only if IAM's documentation allows its form.")
@pytest.mark.parametrize("kind", [*KINDS])
def test_what_is_stored_is_what_a_second_implementation_finds_well_formed(kind: str) -> None:
    random = Random(SEED)
    accepted = 0
    for number in range(NUMBER):
        text = iam_generator.damaged(random, kind)
        here, there = taken(text, kind), iam_reference.wellformed(text, kind)
        accepted += here
        assert here == there, (number, text[:2_000])
    assert NUMBER / 10 < accepted < NUMBER * 9 / 10


@pytest.mark.holds("A malformed document grants nothing, should it ever have been stored.")
def test_a_malformed_statement_grants_nothing() -> None:
    random = Random(SEED)
    tried = 0
    while tried < NUMBER:
        text = iam_generator.damaged(random, "identity")
        policy = document.statements(text, IDENTITY)
        request = asked(iam_generator.request(random, iam_generator.CALLERS[0]))
        if len(policy) != 1 or taken(text, "identity"):
            continue
        tried += 1
        found = evaluation.decide(request, [policy])
        assert found.decision is not evaluation.Decision.ALLOW, text
