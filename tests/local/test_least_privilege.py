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
from tests.platform import LocalPlatform, free_port, run_smp

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
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPlatform]:
    """A platform of this module's own, whose roles may be broken while other tests run."""
    home = tmp_path_factory.mktemp("spare")
    started = run_smp(home, ["up", "--port", str(free_port())])
    assert started.returncode == 0, started.stderr
    yield LocalPlatform(home, home / "together")
    run_smp(home, ["down", "--yes"], 60)


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


def request(data: str, rounds: int) -> dict[str, Any]:
    return {
        "source": f"s3://{data.split('/')[2]}/{SOURCE}",
        "algorithm": "xgboost",
        "name": "least",
        "hyperparameters": {
            "num_round": rounds,
            "objective": "multi:softmax",
            "num_class": 10,
        },
        "channels": {"train": {"s3_uri": data, "content_type": "text/csv"}},
        "register": {"group": "digits", "approval": "Approved"},
        "sample": {"content_type": "text/csv", "body": DIGITS.held_out[0]},
        "deploy": {"endpoint": "digits"},
    }


def everything(
    platform: LocalPlatform, data: str, noticed: Callable[[], bool], function: str
) -> list[str]:
    """Have a function of the workflow do all it does, until somebody was refused something.

    Gives the executions that were begun; some may still run.
    """
    states = platform.client("stepfunctions")
    machine = platform.parameter("training/state-machine-arn")

    def start(document: dict[str, Any]) -> str:
        execution: str = states.start_execution(
            stateMachineArn=machine, name=f"least-{uuid4().hex[:12]}", input=json.dumps(document)
        )["executionArn"]
        return execution

    def swept(execution: str) -> bool:
        # A sweep that lacks a permission fails, which is what is looked for.
        with contextlib.suppress(AssertionError):
            sweep(platform)
        return noticed() or over(platform, execution)

    short = {key: request(data, 1)[key] for key in ("algorithm", "name", "channels")}
    short["hyperparameters"] = {"num_round": 1}
    begun = []

    # The sweep has no part in what goes well.
    if function != "sweep":
        begun.append(start(request(data, 2)))
        until(lambda: over(platform, begun[-1]) or noticed(), "the end of the main job")
        if noticed():
            return begun

        # Nothing is allowed of this type, which is told as an event, too.
        begun.append(start(short | {"instance_types": ["ml.p3.2xlarge"]}))
        until(lambda: over(platform, begun[-1]) or noticed(), "the refusal by SageMaker")
        if noticed():
            return begun

    # A job whose creation went unheard is found again by its name.
    if function == "train":
        platform.faults({"drop_response": {"CreateTrainingJob": 1}})
        begun.append(start(short))
        until(lambda: over(platform, begun[-1]) or noticed(), "the job whose creation was unheard")
        if noticed():
            return begun

    # The sweep has work only when an event was lost, or a job could not be made.
    platform.faults({"drop_events": 1, "event_status": "Completed"})
    begun.append(start(short))
    until(lambda: swept(begun[-1]), "the job whose event is lost")
    if noticed():
        return begun

    platform.faults({"throttle": {"CreateTrainingJob": 1000}})
    begun.append(start(short))
    until(lambda: said(platform, "left for the sweep", begun[-1]), "a job that is put off")
    platform.faults({})
    until(lambda: swept(begun[-1]), "the job that was put off")
    return begun


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


def over(platform: LocalPlatform, execution: str) -> bool:
    states = platform.client("stepfunctions")
    return bool(states.describe_execution(executionArn=execution)["status"] != "RUNNING")


def tidy(platform: LocalPlatform, function: str, executions: list[str]) -> None:
    """End what could not end for want of a permission that is back now."""
    states = platform.client("stepfunctions")
    for execution in executions:
        if function in ("complete", "sweep") and not over(platform, execution):
            # Its job's end was claimed and could not be told; that claim stands for a while.
            try:
                states.stop_execution(executionArn=execution)
            except ClientError:
                assert over(platform, execution), "it neither runs out nor can be stopped"
        ended(platform, execution)
    # A function that was refused in the middle of a deployment keeps the endpoint to itself.
    table = platform.client("dynamodb")
    row = {"id": {"S": "endpoint#sagemaker-platform-local-digits"}}
    table.delete_item(TableName=platform.parameter("training/job-table"), Key=row)


def test_no_statement_of_the_workflow_can_be_taken_away_unnoticed(spare: LocalPlatform) -> None:
    bucket, iam = spare.parameter("storage/data-bucket"), spare.client("iam")
    spare.client("s3").put_object(
        Bucket=bucket, Key="least/train/a.csv", Body=DIGITS.train.encode()
    )
    spare.client("s3").put_object(Bucket=bucket, Key=SOURCE, Body=b"code")
    unnoticed, tried = [], 0
    for function, role in sorted(workflow_roles(spare).items()):
        for policy, statements in policies(spare, role).items():
            for statement in statements:
                if statement["Sid"] in NOT_EVALUATED_HERE:
                    continue
                since, lacking = time.time(), set(actions(statement))

                def noticed(
                    role: str = role, since: float = since, lacking: set[str] = lacking
                ) -> bool:
                    return bool(denied(spare, role, since) & lacking)

                put(iam, role, policy, [each for each in statements if each is not statement])
                begun = everything(spare, f"s3://{bucket}/least/train/", noticed, function)
                put(iam, role, policy, statements)
                tried += 1
                if not noticed():
                    unnoticed.append(f"{function}: {statement['Sid']} {actions(statement)}")
                tidy(spare, function, begun)
    assert tried > 15
    assert unnoticed == []
