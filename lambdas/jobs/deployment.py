"""Putting a model package into service by one parameter of its endpoint's stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from common.log import decided
from jobs.table import JobTable, TakenError

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_sagemaker import SageMakerClient
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient

PARAMETER = "ModelPackageArn"
NOTHING = "none"

# A deployment looks at its stack every few seconds; one that has not for so long is dead.
LOCK_SECONDS = 900

_LONGEST_REASON = 1000


class EndpointBusy(Exception):
    """Somebody else changes the endpoint; the state machine comes again."""


class DeploymentFailed(Exception):
    """The package is not in service, and what was there before is."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What an endpoint's stack says of itself."""

    status: str
    parameters: Mapping[str, str]

    @property
    def moving(self) -> bool:
        """Whether CloudFormation is at work on it."""
        return self.status.endswith("_IN_PROGRESS")

    @property
    def updated(self) -> bool:
        """Whether the last thing that was asked of it was done."""
        return self.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")


@dataclass(frozen=True, slots=True)
class Deployer:
    """Asks CloudFormation for a package, one deployment of an endpoint at a time."""

    table: JobTable
    cloudformation: "CloudFormationClient"

    def begin(
        self, *, endpoint: str, stack: str, package: str, execution: str, now: int
    ) -> dict[str, Any]:
        """Lock the endpoint, remember what it serves, and ask for the package.

        A retry finds its own lock and what it remembered, and asks again, which changes nothing.

        Raises:
            EndpointBusy: Another execution deploys, or somebody else changes the stack.
        """
        try:
            previous = self.table.lock(endpoint, execution, now, now + LOCK_SECONDS)
        except TakenError as taken:
            raise EndpointBusy(
                f"{endpoint} is being deployed by {taken.row.get('execution')}"
            ) from None
        try:
            return self._deploy(endpoint, stack, package, execution, previous)
        except Exception:
            # Nothing was begun that somebody would look after, so nobody need wait for it.
            self.table.unlock(endpoint, execution)
            raise

    def _deploy(
        self, endpoint: str, stack: str, package: str, execution: str, previous: str | None
    ) -> dict[str, Any]:
        found = read(self.cloudformation, stack)
        if PARAMETER not in found.parameters:
            raise DeploymentFailed(
                f"the stack {stack} has no parameter {PARAMETER}: the environment file alone says "
                f"what {endpoint} serves; deploy the stack again if that has changed"
            )
        if previous is None:
            if found.moving:
                raise EndpointBusy(f"the stack {stack} is {found.status}")
            previous = found.parameters[PARAMETER]
            self.table.note_previous(endpoint, execution, previous)
        deployment = {
            "endpoint": endpoint,
            "stack": stack,
            "wanted": package,
            "previous": previous,
            "phase": "deploying",
            "state": "updating",
            "reason": "",
        }
        if found.moving:
            decided("an earlier try has asked already", endpoint=endpoint, status=found.status)
            return deployment
        self._ask(stack, found, package)
        decided("deploy", endpoint=endpoint, package=package, previous=previous)
        return deployment

    def restore(self, deployment: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for what was served before."""
        stack = deployment["stack"]
        found = read(self.cloudformation, stack)
        if not found.moving:
            self._ask(stack, found, deployment["previous"])
        decided("restore", endpoint=deployment["endpoint"], package=deployment["previous"])
        return {**deployment, "phase": "restoring", "state": "updating"}

    def _ask(self, stack: str, found: Stack, package: str) -> None:
        try:
            self.cloudformation.update_stack(
                StackName=stack,
                UsePreviousTemplate=True,
                Parameters=[
                    {"ParameterKey": key, "ParameterValue": package}
                    if key == PARAMETER
                    else {"ParameterKey": key, "UsePreviousValue": True}
                    for key in found.parameters
                ],
            )
        except ClientError as error:
            message = error.response["Error"]["Message"]
            if "No updates are to be performed" in message:
                return
            if "_IN_PROGRESS state and can not be updated" in message:
                raise EndpointBusy(message) from None
            raise


@dataclass(frozen=True, slots=True)
class Inspector:
    """Looks how a deployment goes on, and whether what it brought is good."""

    table: JobTable
    cloudformation: "CloudFormationClient"
    sagemaker: "SageMakerClient"
    runtime: "SageMakerRuntimeClient"

    def look(
        self,
        deployment: Mapping[str, Any],
        *,
        sample: Mapping[str, str],
        execution: str,
        now: int,
    ) -> dict[str, Any]:
        """The deployment with its state: `updating`, `unhealthy` or `ready`.

        Raises:
            DeploymentFailed: The package is not in service and nothing is left to be done.
        """
        endpoint, stack = deployment["endpoint"], deployment["stack"]
        self.table.keep_lock(endpoint, execution, now + LOCK_SECONDS)
        found = read(self.cloudformation, stack)
        if found.moving:
            return {**deployment, "state": "updating"}
        if deployment["phase"] == "restoring":
            reason = deployment["reason"]
            if found.updated:
                reason += f"; {endpoint} serves {deployment['previous']} again"
            else:
                reason += f"; going back to {deployment['previous']} failed: " + self._why(stack)
            return self._fail(endpoint, execution, reason)
        if not found.updated:
            reason = f"CloudFormation left {stack} in {found.status}: {self._why(stack)}"
            return self._fail(endpoint, execution, reason)
        try:
            problem = self._problem(endpoint, deployment["wanted"], sample)
        except ClientError as error:
            # What cannot be checked is not kept in service.
            problem = f"{endpoint} cannot be checked: {error}"
        if problem is None:
            self.table.unlock(endpoint, execution)
            decided("in service", endpoint=endpoint, package=deployment["wanted"])
            return {**deployment, "state": "ready"}
        if deployment["previous"] == deployment["wanted"]:
            return self._fail(endpoint, execution, f"{problem}; nothing else was served before")
        decided("unhealthy", endpoint=endpoint, reason=problem)
        return {**deployment, "state": "unhealthy", "reason": problem}

    def _fail(self, endpoint: str, execution: str, reason: str) -> dict[str, Any]:
        self.table.unlock(endpoint, execution)
        decided("deployment failed", endpoint=endpoint, reason=reason)
        raise DeploymentFailed(reason)

    def _problem(self, endpoint: str, package: str, sample: Mapping[str, str]) -> str | None:
        """Why the endpoint is not what was asked for; None when it is."""
        described = self.sagemaker.describe_endpoint(EndpointName=endpoint)
        if described["EndpointStatus"] != "InService":
            reason = described.get("FailureReason", "SageMaker gave no reason")
            return f"{endpoint} is {described['EndpointStatus']}: {reason}"
        served = self._served(described["EndpointConfigName"])
        if served != {package}:
            return f"{endpoint} serves {', '.join(sorted(served)) or 'no package'}, not {package}"
        try:
            answer = self.runtime.invoke_endpoint(
                EndpointName=endpoint,
                ContentType=sample["content_type"],
                Body=sample["body"].encode(),
            )
        except ClientError as error:
            message = error.response["Error"]["Message"]
            return f"{endpoint} does not answer the sample: {message}"
        if not answer["Body"].read():
            return f"{endpoint} answers the sample with nothing"
        return None

    def _served(self, config: str) -> set[str]:
        """The packages behind an endpoint configuration."""
        variants = self.sagemaker.describe_endpoint_config(EndpointConfigName=config)
        served = set()
        for variant in variants["ProductionVariants"]:
            model = self.sagemaker.describe_model(ModelName=variant["ModelName"])
            containers = [*model.get("Containers", []), model.get("PrimaryContainer", {})]
            served |= {one["ModelPackageName"] for one in containers if "ModelPackageName" in one}
        return served

    def _why(self, stack: str) -> str:
        pages = self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
        return why([event for page in pages for event in page["StackEvents"]], stack)


def why(events: Sequence[Mapping[str, Any]], stack: str) -> str:
    """The first failure of the last update, in CloudFormation's words; events come newest first."""
    reasons = []
    for event in events:
        if event["LogicalResourceId"] == stack and event["ResourceStatus"] == "UPDATE_IN_PROGRESS":
            break
        reason = event.get("ResourceStatusReason", "")
        if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason:
            reasons.append(f"{event['LogicalResourceId']}: {reason}")
    return reasons[-1][:_LONGEST_REASON] if reasons else "its events give no reason"


def read(cloudformation: "CloudFormationClient", name: str) -> Stack:
    """The status and the parameters of a stack."""
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return Stack(
        stack["StackStatus"],
        {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])},
    )
