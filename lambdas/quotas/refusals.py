"""What SageMaker says when a quota is hit, and what people are told of it. No AWS in here."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common import quota_event
from quotas import table

# One text in all its forms since 2018, whatever stands around it: CloudFormation quotes it too.
_REFUSAL = re.compile(
    r"account-level service limit '(?P<name>[^']+)' is (?P<limit>\d+) (?P<unit>\w+), with current "
    r"utilization of (?P<used>\d+) \w+ and a request delta of (?P<delta>\d+) \w+"
)
_LONGEST_SUBJECT = 100
_LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that did not fit into a quota."""

    name: str
    limit: int
    used: int
    delta: int
    unit: str

    @property
    def code(self) -> str | None:
        """The quota's code; None for a name that is not in the table."""
        return table.codes().get(self.name)

    @property
    def enough(self) -> int:
        """The smallest limit with which the request would have been granted."""
        return max(self.limit + 1, self.used + self.delta)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for what, and how SageMaker answered."""

    who: str
    text: str
    where: str = ""

    @property
    def refusal(self) -> Refusal | None:
        """The refusal in the answer; None when it is worded as none that is known."""
        found = _REFUSAL.search(self.text)
        if found is None:
            return None
        return Refusal(
            found["name"],
            int(found["limit"]),
            int(found["used"]),
            int(found["delta"]),
            found["unit"],
        )


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to the topic."""

    subject: str
    body: str


def asked(event: Mapping[str, Any]) -> Asked | None:
    """What an event tells of a quota; None for one that tells of something else.

    Understood are the platform's own event, CloudFormation's of a resource that failed, and
    SageMaker's of an endpoint that failed.
    """
    detail = event["detail"]
    match event["detail-type"]:
        case quota_event.DETAIL_TYPE:
            return Asked(detail["asked"], detail["message"], detail["where"])
        case "CloudFormation Resource Status Change":
            text = detail["status-details"].get("status-reason", "")
            # Named as others name it who tell of the same refusal; what was never made has no name.
            name = detail.get("physical-resource-id", "").rpartition("/")[2]
            name = name or detail["logical-resource-id"]
            return _of_a_quota(Asked(name, text, detail["stack-id"]))
        case "SageMaker Endpoint State Change":
            text = detail.get("FailureReason", "")
            return _of_a_quota(Asked(detail["EndpointName"], text, detail["EndpointArn"]))
    raise ValueError(f"an event of the type {event['detail-type']!r} is none of this function")


def _of_a_quota(found: Asked) -> Asked | None:
    return found if quota_event.of_a_quota("", found.text) else None


def subject_of(found: Asked) -> str:
    """By what two refusals are the same: the quota and who asked."""
    refusal = found.refusal
    return f"{refusal.name if refusal else quota_event.ERROR}#{found.who}"


def message(found: Asked, *, environment: str, region: str) -> Message:
    """Which quota was hit by whom, and the command that asks for more."""
    refusal = found.refusal
    if refusal is None:
        lines = [
            f"{found.who} was refused for a quota in words that are not known here:",
            "",
            found.text[:_LONGEST_TEXT],
            "",
            "Find the quota, then ask for more of it:",
            f"  {_list_command(region)}",
        ]
        return Message(_short(f"Quota hit: {found.who}"), "\n".join(lines))
    lines = [
        f"{found.who} was refused: {refusal.name} allows {refusal.limit}, of which {refusal.used} "
        f"are in use, and {refusal.delta} more were asked for.",
        "",
        f"quota: {refusal.name}",
        f"quota code: {refusal.code or 'unknown to this platform, see the command below'}",
        f"limit: {refusal.limit} {refusal.unit}",
        f"in use: {refusal.used} {refusal.unit}",
        f"asked by: {found.who}, for {refusal.delta} {refusal.unit}",
        *([f"in: {found.where}"] if found.where else []),
        f"environment: {environment}, {region}",
        "",
        "To ask AWS for enough:",
        f"  {increase_command(refusal, region)}",
        "or stop something that uses the same quota, and try again.",
    ]
    return Message(_short(f"Quota hit: {refusal.name}"), "\n".join(lines))


def increase_command(refusal: Refusal, region: str) -> str:
    """The command that files the increase; for an unknown quota the one that finds its code."""
    if refusal.code is None:
        return _list_command(region, f"Quotas[?QuotaName=='{refusal.name}']")
    return shlex.join(
        [
            "aws",
            "service-quotas",
            "request-service-quota-increase",
            "--service-code",
            table.SERVICE,
            "--quota-code",
            refusal.code,
            "--desired-value",
            str(refusal.enough),
            "--region",
            region,
        ]
    )


def _list_command(region: str, query: str = "Quotas[].[QuotaCode,QuotaName,Value]") -> str:
    command = ["aws", "service-quotas", "list-service-quotas", "--service-code", table.SERVICE]
    return shlex.join([*command, "--query", query, "--region", region])


def _short(text: str) -> str:
    """SNS takes one short line of ASCII."""
    plain = text.encode("ascii", "replace").decode().replace("\n", " ")
    return plain if len(plain) <= _LONGEST_SUBJECT else plain[: _LONGEST_SUBJECT - 3] + "..."
