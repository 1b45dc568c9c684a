"""Every statement of a role is needed: without any one of them AWS's own refusal shows."""

import contextlib
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.support import (
    DIGITS,
    ended,
    invoke_function,
    job_request,
    occupying,
    sweep,
    train,
    until,
)
from tests.platform import Deployed, LocalPlatform, another

TRAINING_STATEMENTS = (
    "ListData",
    "ReadData",
    "WriteModels",
    "FindCheckpoints",
    "ReadCheckpoints",
    "DecryptData",
    "EncryptModels",
    "EncryptDisks",
    "WriteLogs",
    "WriteMetrics",
    "LogInToRegistries",
    "PullImages",
)
# X-Ray is not called here, and log delivery when a machine is made, not when it runs: for that see
# tests/contract/emulator/test_cloudformation.py.
NOT_EVALUATED_HERE = {"Trace", "DeliverLog"}


def policies(platform: LocalPlatform, role: str) -> dict[str, list[dict[str, Any]]]:
    """Statements of the role's own policies, by the policy's name."""
    iam = platform.client("iam")
    return {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }


def actions(statement: dict[str, Any]) -> list[str]:
    found = statement["Action"]
    return [found] if isinstance(found, str) else list(found)


@contextmanager
def copy_without(platform: LocalPlatform, role: str, sid: str) -> Iterator[tuple[str, list[str]]]:
    """A copy of the role that lacks one statement, and the actions that it lacks with it."""
    iam, name = platform.client("iam"), f"without-{uuid4().hex[:12]}"
    original = iam.get_role(RoleName=role)["Role"]
    statements = [each for found in policies(platform, role).values() for each in found]
    (removed,) = [each for each in statements if each["Sid"] == sid]
    copy = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(original["AssumeRolePolicyDocument"])
    )["Role"]
    put(iam, name, "training", [each for each in statements if each is not removed])
    try:
        yield copy["Arn"], actions(removed)
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="training")
        iam.delete_role(RoleName=name)


def put(iam: Any, role: str, policy: str, statements: list[dict[str, Any]]) -> None:
    iam.put_role_policy(
        RoleName=role,
        PolicyName=policy,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statements}),
    )


def outcome(run: Callable[[], dict[str, Any]]) -> str:
    """Why the job was refused or has failed."""
    try:
        job = run()
    except ClientError as refused:
        return str(refused)
    assert job["TrainingJobStatus"] == "Failed", "the job did not need what was taken away"
    return str(job["FailureReason"])


def execution_role(platform: LocalPlatform) -> str:
    return platform.parameter("training/execution-role-arn").rsplit("/", 1)[-1]


def test_the_training_role_has_the_statements_that_are_tried_here(platform: LocalPlatform) -> None:
    (statements,) = policies(platform, execution_role(platform)).values()
    assert {each["Sid"] for each in statements} == set(TRAINING_STATEMENTS)


@pytest.mark.parametrize("sid", TRAINING_STATEMENTS)
def test_a_job_fails_with_the_action_that_its_role_lacks(platform: LocalPlatform, sid: str) -> None:
    resources = {
        "InstanceType": "ml.m5.xlarge",
        "InstanceCount": 1,
        "VolumeSizeInGB": 10,
        "VolumeKmsKeyId": platform.parameter("storage/key-arn"),
    }
    models = platform.parameter("storage/models-bucket")
    name = f"without-{sid.lower()}-{uuid4().hex[:8]}"
    checkpoints = f"jobs/{name}/checkpoints"
    platform.client("s3").put_object(Bucket=models, Key=f"{checkpoints}/one", Body=b"1")
    changes = {
        "ResourceConfig": resources,
        "CheckpointConfig": {"S3Uri": f"s3://{models}/{checkpoints}"},
    }
    with copy_without(platform, execution_role(platform), sid) as (role, lacking):
        reason = outcome(lambda: train(platform, name, "kmeans", role=role, **changes))
    assert any(action in reason for action in lacking), reason


@pytest.fixture(scope="module")
def spare(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A platform of this module's own, whose roles may be broken while other tests run."""
    with another(deployed, tmp_path_factory.mktemp("spare")) as platform:
        yield platform


def workflow_roles(platform: LocalPlatform) -> dict[str, str]:
    """Role of each function of the workflow and of the state machine, by what it is."""
    states, functions = platform.client("stepfunctions"), platform.client("lambda")
    machine = states.describe_state_machine(
        stateMachineArn=platform.parameter("training/state-machine-arn")
    )
    roles = {"state machine": machine["roleArn"].rsplit("/", 1)[-1]}
    for page in functions.get_paginator("list_functions").paginate():
        for each in page["Functions"]:
            if each["Handler"].startswith("jobs.handlers."):
                roles[each["Handler"].split(".")[2]] = each["Role"].rsplit("/", 1)[-1]
    return roles


def calls(platform: LocalPlatform, role: str, since: float = 0.0) -> list[dict[str, Any]]:
    """What was asked in the name of a role, and whether it was allowed."""
    query = urllib.parse.urlencode({"principal": f"/{role}/", "since": since})
    found: list[dict[str, Any]] = platform.control(f"calls?{query}")
    return found


def denied(platform: LocalPlatform, role: str, since: float) -> set[str]:
    """Actions that a role was refused."""
    return {call["action"] for call in calls(platform, role, since) if not call["allowed"]}


def test_what_keeps_the_log_groups_uses_every_statement_it_has(spare: LocalPlatform) -> None:
    (function,) = [
        each
        for page in spare.client("lambda").get_paginator("list_functions").paginate()
        for each in page["Functions"]
        if each["Handler"].startswith("logs.")
    ]
    role = function["Role"].rsplit("/", 1)[-1]
    group = "/aws/sagemaker/TrainingJobs"
    spare.client("logs").delete_log_group(logGroupName=group)
    wanted = {"LogGroups": [group], "Days": "7"}
    # It is done before CloudFormation is told, which asks for no answer here.
    with contextlib.suppress(AssertionError):
        event = {"RequestType": "Create", "ResourceProperties": wanted}
        invoke_function(spare, "logs.handler", event)
    assert group in {
        each["logGroupName"] for each in spare.client("logs").describe_log_groups()["logGroups"]
    }
    used = {call["action"] for call in calls(spare, role) if call["allowed"]}
    (statements,) = policies(spare, role).values()
    assert [each["Sid"] for each in statements if not used & set(actions(each))] == []


@pytest.fixture
def endless_job(spare: LocalPlatform) -> Iterator[str]:
    """Something that uses a quota until the test ends."""
    rounds = {"num_round": "100000", "objective": "multi:softmax", "num_class": "10"}
    name = f"endless-{uuid4().hex[:8]}"
    with occupying(spare, job_request(spare, name, "xgboost", HyperParameters=rounds)):
        yield name


def quota_roles(platform: LocalPlatform) -> dict[str, str]:
    """Role of each function that watches the quotas, by its handler's module."""
    pages = platform.client("lambda").get_paginator("list_functions").paginate()
    return {
        each["Handler"].rpartition(".")[0]: each["Role"].rsplit("/", 1)[-1]
        for page in pages
        for each in page["Functions"]
        if each["Handler"].startswith("quotas.handlers.")
    }


def test_no_statement_of_what_watches_the_quotas_can_be_taken_away_unnoticed(
    spare: LocalPlatform, endless_job: str
) -> None:
    iam, unnoticed = spare.client("iam"), []
    for module, role in quota_roles(spare).items():
        ((policy, statements),) = policies(spare, role).items()
        for number, statement in enumerate(statements):
            since, lacking = time.time(), set(actions(statement))
            put(iam, role, policy, [each for each in statements if each is not statement])
            detail = {"environment": "local", "asked": str(number), "message": "", "where": ""}
            event = {"detail-type": "SageMaker Resource Limit Exceeded", "detail": detail}
            with contextlib.suppress(AssertionError):
                invoke_function(spare, module, event)
            put(iam, role, policy, statements)
            if not denied(spare, role, since) & lacking:
                unnoticed.append(f"{module}: {statement['Sid']}")
    assert unnoticed == []


SOURCE = "sources/least/sourcedir.tar.gz"
# SageMaker allows none of it.
REFUSED = {"instance_types": ["ml.p3.2xlarge"]}
# Of a task that nobody waits for any more: whether its answer is allowed is decided all the same.
TOKEN = "of a task that is over"


def request(bucket: str) -> dict[str, Any]:
    return {
        "source": f"s3://{bucket}/{SOURCE}",
        "algorithm": "xgboost",
        "name": "least",
        "hyperparameters": {"num_round": 2, "objective": "multi:softmax", "num_class": 10},
        "channels": {
            "train": {"s3_uri": f"s3://{bucket}/least/train/", "content_type": "text/csv"}
        },
        "register": {"group": "digits", "approval": "Approved"},
        "sample": {"content_type": "text/csv", "body": DIGITS.held_out[0]},
        "deploy": {"endpoint": "digits"},
    }


class Workflow:
    """The workflow of a platform, whose functions are asked again for what they have done once.

    Each of them can be repeated without harm, and gets there by the same calls.
    """

    def __init__(self, platform: LocalPlatform) -> None:
        self.platform = platform
        bucket, s3 = platform.parameter("storage/data-bucket"), platform.client("s3")
        s3.put_object(Bucket=bucket, Key="least/train/a.csv", Body=DIGITS.train.encode())
        s3.put_object(Bucket=bucket, Key=SOURCE, Body=b"code")
        self.request = request(bucket)
        self.done = self._run(self.request, "SUCCEEDED")
        self.refused = self._run(self.request | REFUSED, "FAILED")

    def start(self, document: dict[str, Any]) -> str:
        execution: str = self.platform.client("stepfunctions").start_execution(
            stateMachineArn=self.platform.parameter("training/state-machine-arn"),
            input=json.dumps(document),
        )["executionArn"]
        return execution

    def _run(self, document: dict[str, Any], wanted: str) -> dict[str, Any]:
        """What each state was given when it was entered last."""
        execution = self.start(document)
        assert ended(self.platform, execution)["status"] == wanted
        pages = self.platform.client("stepfunctions").get_paginator("get_execution_history")
        entered = [
            each["stateEnteredEventDetails"]
            for page in pages.paginate(executionArn=execution)
            for each in page["events"]
            if "stateEnteredEventDetails" in each
        ]
        return {each["name"]: json.loads(each["input"]) for each in entered}

    def provocations(self) -> dict[str, list[Callable[[], object]]]:
        """What makes each do all that it does, one thing after another."""
        done, refused = self.done, self.refused
        return {
            "state machine": [lambda: ended(self.platform, self.start(self.request | REFUSED))],
            "validate": [lambda: self._ask("validate", done["Validate"])],
            "train": [
                lambda: self._ask("train", {"token": TOKEN, "state": refused["Train"]}),
                # A job whose creation went unheard is found again by its name.
                lambda: self._ask("train", {"token": TOKEN, "state": done["Train"]}),
            ],
            "complete": [self._complete],
            "sweep": [self._sweep_what_ended, self._sweep_what_never_began],
            "register": [lambda: self._ask("register", done["Register"])],
            "report": [
                lambda: self._ask("report", {"outcome": "success", "state": done["Report"]}),
                # A quota that was hit is told as an event, too.
                lambda: self._ask(
                    "report", {"outcome": "failure", "state": refused["ReportFailure"]}
                ),
            ],
            "deploy": [lambda: self._ask("deploy", done["Deploy"])],
            "deployed": [self._look_at_the_deployment],
        }

    def _ask(self, function: str, event: dict[str, Any]) -> None:
        """Call a function; one that lacks a permission fails, which is what is looked for."""
        with contextlib.suppress(AssertionError):
            invoke_function(self.platform, f"jobs.handlers.{function}", event)

    def _complete(self) -> None:
        self._wait_again()
        self._ask("complete", {"detail": {"TrainingJobName": self.done["Register"]["job"]["name"]}})

    def _sweep_what_ended(self) -> None:
        self._wait_again()
        with contextlib.suppress(AssertionError):
            sweep(self.platform)

    def _wait_again(self) -> None:
        """As if nobody had told yet that the job has ended."""
        self.platform.client("dynamodb").update_item(
            TableName=self.platform.parameter("training/job-table"),
            Key={"id": {"S": f"job#{self.done['Register']['job']['name']}"}},
            UpdateExpression="SET #status = :training",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":training": {"S": "training"}},
        )

    def _sweep_what_never_began(self) -> None:
        self.platform.faults({"throttle": {"CreateTrainingJob": 1000}})
        execution = self.start(self.request)
        until(lambda: said(self.platform, "left for the sweep", execution), "what is put off")
        self.platform.faults({})
        with contextlib.suppress(AssertionError):
            sweep(self.platform)

    def _look_at_the_deployment(self) -> None:
        # It holds the endpoint meanwhile.
        self._ask("deploy", self.done["Deploy"])
        self._ask("deployed", self.done["CheckDeployment"])

    def let_go(self) -> None:
        """Take the endpoint from a function that was refused something while it had it."""
        row = {"id": {"S": "endpoint#sagemaker-platform-local-digits"}}
        table = self.platform.parameter("training/job-table")
        self.platform.client("dynamodb").delete_item(TableName=table, Key=row)


def said(platform: LocalPlatform, decision: str, execution: str) -> bool:
    """Whether the function that begins jobs has logged a decision about an execution."""
    row = {"S": execution}
    found = platform.client("dynamodb").scan(
        TableName=platform.parameter("training/job-table"),
        FilterExpression="execution = :execution",
        ExpressionAttributeValues={":execution": row},
    )["Items"]
    names = [item["id"]["S"].removeprefix("job#") for item in found]
    logs = platform.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        if "WorkflowTrainLogs" in group["logGroupName"]:
            events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
            lines = [each["message"] for each in events if decision in each["message"]]
            return any(name in line for name in names for line in lines)
    return False


def test_no_statement_of_the_workflow_can_be_taken_away_unnoticed(spare: LocalPlatform) -> None:
    iam, workflow = spare.client("iam"), Workflow(spare)
    provocations, unnoticed, tried = workflow.provocations(), [], set()
    for function, role in sorted(workflow_roles(spare).items()):
        for policy, statements in policies(spare, role).items():
            for statement in statements:
                if statement["Sid"] in NOT_EVALUATED_HERE:
                    continue
                since, lacking = time.time(), set(actions(statement))
                put(iam, role, policy, [each for each in statements if each is not statement])
                for provoke in provocations[function]:
                    provoke()
                    if denied(spare, role, since) & lacking:
                        break
                else:
                    unnoticed.append(f"{function}: {statement['Sid']} {actions(statement)}")
                put(iam, role, policy, statements)
                workflow.let_go()
                tried.add((function, statement["Sid"]))
    assert unnoticed == []
    assert {function for function, _ in tried} == {*provocations}
    assert len(tried) > 30
