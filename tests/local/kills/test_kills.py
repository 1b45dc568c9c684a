"""The platform survives being killed at any moment.

SMP_KILL_SEED repeats a run, SMP_KILLS changes how often it is killed: `make soak` does so often.
"""

import functools
import json
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import BotoCoreError, HTTPClientError

from local.platform import credentials, lifecycle, server
from local.platform.home import Home
from local.platform.progress import Silent
from tests.local.kills.sequences import Executions, Jobs, Messages, Packages
from tests.local.kills.stacks import Stacks
from tests.local.kills.workload import (
    Actor,
    Alarms,
    Functions,
    Items,
    Objects,
    Parameters,
    Roles,
    Rules,
)
from tests.local.support import DIGITS, train, until
from tests.platform import SMP, TRUST, LocalPlatform, free_port, role_for_hosting, run_smp

KILLS = int(os.environ.get("SMP_KILLS", "5"))
SEED = int(os.environ.get("SMP_KILL_SEED", str(time.time_ns() % 1_000_000)))
# So many kills, at the end, meet a platform that serves an endpoint; each of them starts it anew.
SERVING = max(KILLS // 5, 2)
# And so many, a notebook.
NOTEBOOK = max(KILLS // 25, 1)
# Of the local environment.
STACKS = 7


class Quiet(Silent):
    """Shows nothing, and remembers what `up` did."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def begin(self, step: str) -> None:
        self.steps.append(step)


def kill(platform: LocalPlatform) -> None:
    """End the server and nothing else, at once."""
    running = server.running(Home(platform.home))
    assert running
    os.kill(running.pid, signal.SIGKILL)
    psutil.wait_procs([one for one in [running.process] if one], timeout=60)


def up(platform: LocalPlatform) -> list[str]:
    """Do as `smp up`; the steps that it took."""
    progress = Quiet()
    lifecycle.up(Home(platform.home), None, progress)
    return progress.steps


@pytest.fixture(scope="module")
def model(doomed: LocalPlatform) -> dict[str, Any]:
    """The job of a trained model, and a configuration to serve it by, both named `steady`."""
    job = train(doomed, "steady", "kmeans")
    assert job["TrainingJobStatus"] == "Completed", job
    sagemaker = doomed.client("sagemaker")
    sagemaker.create_model(
        ModelName="steady",
        PrimaryContainer={
            "Image": job["AlgorithmSpecification"]["TrainingImage"],
            "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
        },
        ExecutionRoleArn=next(role_for_hosting(doomed)),
    )
    sagemaker.create_endpoint_config(
        EndpointConfigName="steady",
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": "steady",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
    )
    return job


def answers(platform: LocalPlatform) -> Any:
    """What the endpoint says of all held-out digits, once it is in service."""
    sagemaker = platform.client("sagemaker")

    def serving() -> bool:
        found = sagemaker.describe_endpoint(EndpointName="steady")
        assert found["EndpointStatus"] != "Failed", found["FailureReason"]
        return bool(found["EndpointStatus"] == "InService")

    until(serving, "the endpoint")
    answer = platform.client("sagemaker-runtime").invoke_endpoint(
        EndpointName="steady", ContentType="text/csv", Body="\n".join(DIGITS.held_out).encode()
    )
    return json.loads(answer["Body"].read())


def notebook(platform: LocalPlatform) -> Path:
    """Start a notebook instance, and give its volume."""
    made = platform.client("iam").create_role(
        RoleName="kill-notebook", AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    platform.client("sagemaker").create_notebook_instance(
        NotebookInstanceName="kill-notebook",
        InstanceType="ml.t3.medium",
        RoleArn=made["Role"]["Arn"],
    )
    assert notebook_in_service(platform)
    return platform.home / "state/sagemaker/notebooks/kill-notebook/home/SageMaker"


def notebook_in_service(platform: LocalPlatform) -> bool:
    sagemaker = platform.client("sagemaker")

    def look() -> bool:
        found = sagemaker.describe_notebook_instance(NotebookInstanceName="kill-notebook")
        assert found["NotebookInstanceStatus"] != "Failed", found["FailureReason"]
        return bool(found["NotebookInstanceStatus"] == "InService")

    return until(look, "the notebook", 90)


def work(actor: Actor, chance: random.Random, ended: threading.Event, wrong: list[str]) -> None:
    """Act until the server is gone."""
    while not ended.is_set():
        try:
            actor.act(chance)
        except (BotoCoreError, HTTPClientError):
            return
        except Exception as error:
            wrong.append(f"{actor.name}: {type(error).__name__}: {error}")
            return


def _either(first: list[str], second: list[str]) -> bool:
    """Whether one of two lists, which threads fill, holds anything by now."""
    return bool(first or second)


@pytest.mark.soak
def test_nothing_acknowledged_is_lost_and_nothing_is_half_made(
    doomed: LocalPlatform, model: dict[str, Any]
) -> None:
    print(f"SMP_KILL_SEED={SEED}")
    chance = random.Random(SEED)
    before = None
    jobs, functions = Jobs(doomed, "kill-jobs"), Functions(doomed, "kill-functions")
    volume = None
    actors: list[Actor] = [
        Objects(doomed, "kill-objects"),
        Parameters(doomed, "kill-parameters"),
        Items(doomed, "kill-items"),
        Roles(doomed, "kill-roles"),
        Alarms(doomed, "kill-alarms"),
        Rules(doomed, "kill-rules"),
        functions,
        Messages(doomed, "kill-messages"),
        Executions(doomed, "kill-executions"),
        Packages(doomed, "kill-packages", model["ModelArtifacts"]["S3ModelArtifacts"]),
        Stacks(doomed, "kill-stack"),
        jobs,
    ]
    for number in range(1, KILLS + 1):
        if number == max(KILLS - SERVING, 1):
            doomed.client("sagemaker").create_endpoint(
                EndpointName="steady", EndpointConfigName="steady"
            )
            before = answers(doomed)
        if number == max(KILLS - NOTEBOOK, 1):
            volume = notebook(doomed)
            (volume / "mine.ipynb").write_text("{}")
        ended, wrong = threading.Event(), list[str]()
        threads = [
            threading.Thread(target=work, args=(one, random.Random(chance.random()), ended, wrong))
            for one in actors
        ]
        for thread in threads:
            thread.start()
        if not jobs.cut_off:
            # However busy the machine is.
            until(functools.partial(_either, jobs.begun, wrong), "a job for the kill to meet")
        time.sleep(chance.uniform(0.02, 0.6))
        kill(doomed)
        ended.set()
        for thread in threads:
            thread.join()
        told = f"kill {number} of SMP_KILL_SEED={SEED}"
        assert wrong == [], told
        steps = up(doomed)
        assert "bootstrap" not in steps, told
        assert not [step for step in steps if step.startswith("sagemaker-platform")], told
        for actor in actors:
            try:
                actor.verify()
            except AssertionError as error:
                raise AssertionError(f"{actor.name}, {told}: {error}") from error
        if before and number % 3 == 0:
            assert answers(doomed) == before, told
    assert jobs.cut_off, "no kill met a job that ran"
    assert answers(doomed) == before
    assert notebook_in_service(doomed)
    assert volume
    assert (volume / "mine.ipynb").read_text() == "{}"
    assert functions.answers() == functions.known
    assert doomed.control("state") == {"missed": [], "failure": ""}
    result = doomed.smp("status")
    assert result.returncode == 0, result.stderr
    assert "IN_PROGRESS" not in result.stdout


def test_a_state_is_taken_up_on_its_own_port_alone(doomed: LocalPlatform) -> None:
    kill(doomed)
    refused = doomed.smp("up", "--port", str(free_port()))
    assert refused.returncode != 0
    assert "Its state names port" in refused.stderr
    assert up(doomed)
    assert doomed.client("ssm").get_parameters_by_path(Path="/", Recursive=True)["Parameters"]


def test_a_first_deployment_that_was_killed_with_its_server_goes_on(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    command = [str(SMP), "up", "--port", str(free_port())]
    first = subprocess.Popen(command, env={**os.environ, "SMP_HOME": str(home.path)})
    try:
        running = until(lambda: server.running(home), "the server", 60)
        key = until(lambda: credentials.load(home), "the administrator's key", 60)
        stacks = key.session().client("cloudformation", endpoint_url=running.url)

        def begun() -> list[str]:
            return [
                one["StackName"]
                for one in stacks.describe_stacks()["Stacks"]
                if one["StackName"].startswith("sagemaker-platform")
            ]

        before = until(begun, "the first stack", 120)
        assert len(before) < STACKS
    finally:
        first.kill()
        first.wait()
    os.kill(running.pid, signal.SIGKILL)
    try:
        result = run_smp(home.path, ["up"])
        assert result.returncode == 0, result.stderr
        assert credentials.load(home) == key
        statuses = {
            one["StackName"]: one["StackStatus"] for one in stacks.describe_stacks()["Stacks"]
        }
        assert len(statuses) == STACKS + 1
        assert {*statuses.values()} <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, statuses
    finally:
        run_smp(home.path, ["down", "--yes"], 60)
