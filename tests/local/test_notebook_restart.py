"""Notebooks of a server that is killed and started again on the same state."""

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.platform.credentials import Credentials
from local.platform.home import CHECKOUT
from tests.local.support import until
from tests.platform import TRUST, free_port

ON_CREATE = "#!/bin/bash\necho created\n"
ON_START = "#!/bin/bash\necho started\nnohup setsid sleep 600 &\n"


class Bare:
    """A server without stacks, which can be killed and started again."""

    def __init__(self, state: Path) -> None:
        self.state, self.port = state, free_port()
        self.start()

    def start(self) -> None:
        command = ["-m", "local.server", "--port", str(self.port), "--state", str(self.state)]
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=CHECKOUT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def ready() -> bool:
            try:
                url = f"http://127.0.0.1:{self.port}/_smp/ready"
                with urllib.request.urlopen(url, timeout=2) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        until(ready, "the server", 60)

    def end(self, number: int) -> None:
        os.kill(self.process.pid, number)
        self.process.wait(30)

    def client(self, service: str) -> Any:
        text = self.state.with_name("credentials.json").read_text(encoding="utf-8")
        make: Any = Credentials(**json.loads(text)).session().client
        return make(service, endpoint_url=f"http://127.0.0.1:{self.port}")

    def notebook_processes(self) -> set[int]:
        found = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                home = process.environ().get("SMP_NOTEBOOK_HOME", "")
                if home.startswith(str(self.state)):
                    found.add(process.pid)
        return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Bare]:
    found = Bare(tmp_path / "state")
    yield found
    found.end(signal.SIGTERM)
    assert found.notebook_processes() == set()


def test_a_notebook_of_a_killed_server_comes_back_without_on_create_and_nothing_lives_on(
    server: Bare,
) -> None:
    iam, sagemaker = server.client("iam"), server.client("sagemaker")
    iam.create_role(RoleName="notebook", AssumeRolePolicyDocument=json.dumps(TRUST))
    statement = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    iam.put_role_policy(
        RoleName="notebook",
        PolicyName="logs",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    sagemaker.create_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName="scripts",
        OnCreate=[{"Content": base64.b64encode(ON_CREATE.encode()).decode()}],
        OnStart=[{"Content": base64.b64encode(ON_START.encode()).decode()}],
    )
    sagemaker.create_notebook_instance(
        NotebookInstanceName="one",
        InstanceType="ml.t3.medium",
        RoleArn="arn:aws:iam::000000000000:role/notebook",
        LifecycleConfigName="scripts",
    )

    def in_service() -> bool:
        found = sagemaker.describe_notebook_instance(NotebookInstanceName="one")
        assert found["NotebookInstanceStatus"] != "Failed", found["FailureReason"]
        return bool(found["NotebookInstanceStatus"] == "InService")

    until(in_service, "the notebook", 60)
    volume = server.state / "sagemaker/notebooks/one/home/SageMaker"
    (volume / "mine.ipynb").write_text("{}")
    before = server.notebook_processes()
    # JupyterLab, and what the script left in the background.
    assert len(before) == 2

    server.end(signal.SIGKILL)
    server.start()
    until(in_service, "the notebook", 60)
    assert not before & server.notebook_processes()
    assert (volume / "mine.ipynb").read_text() == "{}"

    def logged(hook: str) -> list[str]:
        events = server.client("logs").get_log_events(
            logGroupName="/aws/sagemaker/NotebookInstances",
            logStreamName=f"one/LifecycleConfig{hook}",
            startFromHead=True,
        )["events"]
        return [event["message"] for event in events]

    until(lambda: logged("OnStart") == ["started", "started"], "the log of both starts")
    assert logged("OnCreate") == ["created"]
