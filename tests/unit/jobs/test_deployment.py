from typing import Any, cast

import pytest

from jobs.deployment import LOCK_SECONDS, Deployer, DeploymentFailed, EndpointBusy, Inspector
from jobs.table import JobTable
from tests.unit.jobs.fakes import Endpoint, refusal

OLD, NEW = "arn:package/1", "arn:package/2"
NOW = 1_000_000
SAMPLE = {"content_type": "text/csv", "body": "0,1,2"}


class Machine:
    """The states of the state machine that deploy, one after the other."""

    def __init__(self, table: JobTable, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.deployer = Deployer(table, cast("Any", endpoint))
        self.inspector = Inspector(table, *[cast("Any", endpoint)] * 3)

    def begin(self, execution: str = "one", now: int = NOW, package: str = NEW) -> dict[str, Any]:
        return self.deployer.begin(
            endpoint=self.endpoint.name,
            stack=self.endpoint.stack,
            package=package,
            execution=execution,
            now=now,
        )

    def look(self, deployment: dict[str, Any], execution: str = "one") -> dict[str, Any]:
        return self.inspector.look(deployment, sample=SAMPLE, execution=execution, now=NOW)

    def run(self) -> dict[str, Any]:
        deployment = self.begin()
        while deployment["state"] != "ready":
            if self.endpoint.status.endswith("_IN_PROGRESS"):
                assert self.look(deployment)["state"] == "updating"
                self.endpoint.settle()
            deployment = self.look(deployment)
            if deployment["state"] == "unhealthy":
                deployment = self.deployer.restore(deployment)
        return deployment


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(package=OLD)


@pytest.fixture
def machine(table: JobTable, endpoint: Endpoint) -> Machine:
    return Machine(table, endpoint)


def test_only_the_package_changes_and_what_was_served_is_remembered(machine: Machine) -> None:
    deployment = machine.run()
    assert machine.endpoint.package == NEW and machine.endpoint.asked == [NEW]
    assert (deployment["wanted"], deployment["previous"]) == (NEW, OLD)


def test_what_is_served_already_needs_no_update(machine: Machine) -> None:
    machine.endpoint.package = NEW
    assert machine.run()["state"] == "ready" and machine.endpoint.asked == []


def test_a_package_that_does_not_answer_is_taken_back(machine: Machine) -> None:
    machine.endpoint.bad = frozenset({NEW})
    with pytest.raises(DeploymentFailed, match=f"64 columns are wanted.*serves {OLD} again"):
        machine.run()
    assert machine.endpoint.package == OLD and machine.endpoint.asked == [NEW, OLD]


def test_the_first_package_of_an_endpoint_is_taken_back_to_none(machine: Machine) -> None:
    machine.endpoint.package, machine.endpoint.bad = "none", frozenset({NEW})
    with pytest.raises(DeploymentFailed, match="serves none again"):
        machine.run()
    assert machine.endpoint.package == "none"


def test_an_empty_answer_is_none(machine: Machine) -> None:
    machine.endpoint.answer = b""
    with pytest.raises(DeploymentFailed, match="answers the sample with nothing"):
        machine.run()


def test_a_configuration_that_serves_something_else_is_no_success(machine: Machine) -> None:
    machine.endpoint.served = "arn:package/9"
    with pytest.raises(DeploymentFailed, match=r"serves arn:package/9, not arn:package/2"):
        machine.run()


def test_cloudformations_own_rollback_is_told_with_its_first_reason(machine: Machine) -> None:
    machine.endpoint._event("Endpoint", "UPDATE_FAILED", "of an earlier update")
    machine.endpoint.fail_with = "The primary container did not pass the ping health check"
    with pytest.raises(DeploymentFailed) as failed:
        machine.run()
    assert "Endpoint: The primary container did not pass the ping" in str(failed.value)
    assert "UPDATE_ROLLBACK_COMPLETE" in str(failed.value)
    assert "earlier" not in str(failed.value) and "cancelled" not in str(failed.value)
    assert machine.endpoint.package == OLD


def test_an_endpoint_that_may_not_be_asked_is_not_kept(machine: Machine) -> None:
    def denied(**_: object) -> None:
        raise refusal("AccessDeniedException", "no: sagemaker:DescribeEndpoint", "DescribeEndpoint")

    machine.endpoint.describe_endpoint = denied  # type: ignore[method-assign,assignment]
    with pytest.raises(DeploymentFailed, match="sagemaker:DescribeEndpoint"):
        machine.run()
    assert machine.endpoint.package == OLD


def test_a_second_deployment_of_an_endpoint_has_to_wait(machine: Machine) -> None:
    deployment = machine.begin("one")
    with pytest.raises(EndpointBusy, match="is being deployed by one"):
        machine.begin("two")
    machine.endpoint.settle()
    machine.look(deployment)
    assert machine.begin("two", package="arn:package/3")["previous"] == NEW


def test_a_failed_deployment_lets_the_next_one_begin(machine: Machine) -> None:
    machine.endpoint.fail_with = "no"
    with pytest.raises(DeploymentFailed):
        machine.run()
    machine.endpoint.fail_with = None
    assert machine.begin("two")["state"] == "updating"


def test_the_lock_of_an_execution_that_died_expires(machine: Machine) -> None:
    machine.begin("dead")
    machine.endpoint.settle()
    machine.begin("next", NOW + LOCK_SECONDS + 1, "arn:package/3")
    assert machine.endpoint.asked == [NEW, "arn:package/3"]


def test_looking_keeps_the_lock(machine: Machine, table: JobTable) -> None:
    deployment = machine.begin("one")
    machine.inspector.look(deployment, sample=SAMPLE, execution="one", now=NOW + LOCK_SECONDS)
    with pytest.raises(EndpointBusy):
        machine.begin("two", NOW + LOCK_SECONDS + 1)


def test_killed_after_asking_a_retry_remembers_what_was_served_before(machine: Machine) -> None:
    machine.begin()
    again = machine.begin()
    assert again["previous"] == OLD and machine.endpoint.asked == [NEW]
    machine.endpoint.settle()
    assert machine.begin()["previous"] == OLD


def test_a_stack_that_somebody_deploys_is_waited_for(machine: Machine) -> None:
    machine.endpoint.status = "UPDATE_IN_PROGRESS"
    with pytest.raises(EndpointBusy, match="UPDATE_IN_PROGRESS"):
        machine.begin()
    machine.endpoint.status = "UPDATE_COMPLETE"
    assert machine.begin("two")["state"] == "updating"


def test_a_refused_update_tells_why_and_keeps_nobody_waiting(machine: Machine) -> None:
    machine.endpoint.refuse = refusal(
        "AccessDenied", "not authorized to perform: cloudformation:UpdateStack", "UpdateStack"
    )
    with pytest.raises(Exception, match="cloudformation:UpdateStack"):
        machine.begin()
    machine.endpoint.refuse = None
    assert machine.begin("two")["state"] == "updating"


def test_a_stack_without_the_parameter_is_refused(machine: Machine) -> None:
    answer = {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]}
    machine.endpoint.describe_stacks = lambda StackName: answer  # type: ignore[method-assign]
    with pytest.raises(DeploymentFailed, match="environment file alone"):
        machine.begin()
