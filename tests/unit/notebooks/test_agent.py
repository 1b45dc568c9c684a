import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from notebook_instance import agent
from notebook_instance.activity import Observation
from notebook_instance.agent import Agent, Watcher
from notebook_instance.settings import Places, Settings

SETTINGS = Settings(
    region="eu-west-1",
    namespace="SageMakerPlatform/Notebooks",
    idle_seconds=120,
    interval_seconds=60,
    packages_bucket="data",
    packages_prefix="notebooks/a/packages/",
    platform={},
)
QUIET = Observation(0, 0, 0, 1.5, happened_since=False)
BUSY = Observation(1, 0, 2, 80.0, happened_since=True)


class _Watcher(Watcher):
    def __init__(self, *seen: Observation | None) -> None:
        self._seen = list(seen)

    def look(self) -> tuple[Observation | None, float]:
        return self._seen.pop(0), 60.0


class _Aws:
    """CloudWatch and SageMaker as the agent calls them."""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)
        self.published: list[dict[str, float]] = []
        self.requests: list[Mapping[str, Any]] = []
        self.stopped: list[str] = []

    def put_metric_data(self, **request: Any) -> None:
        self._refuse("PutMetricData")
        self.requests.append(request)
        self.published.append({one["MetricName"]: one["Value"] for one in request["MetricData"]})

    def stop_notebook_instance(self, **request: Any) -> None:
        self._refuse("StopNotebookInstance")
        self.stopped.append(request["NotebookInstanceName"])

    def _refuse(self, operation: str) -> None:
        if operation in self.refusals:
            self.refusals.remove(operation)
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slower"}}, operation)


def _agent(aws: _Aws, *seen: Observation | None) -> Agent:
    return Agent(SETTINGS, "workbench", _Watcher(*seen), aws, aws)


def test_an_instance_that_is_idle_for_its_time_is_stopped() -> None:
    aws = _Aws()
    watching = _agent(aws, QUIET, QUIET)
    assert [watching.round(), watching.round()] == [False, True]
    assert aws.stopped == ["workbench"]


def test_what_was_seen_is_published_for_the_instance() -> None:
    aws = _Aws()
    watching = _agent(aws, BUSY, QUIET)
    watching.round()
    watching.round()
    assert aws.published == [
        {
            "BusyKernels": 1,
            "BusyTerminals": 0,
            "BusyProcesses": 2,
            "CPUUtilization": 80.0,
            "IdleSeconds": 0,
        },
        {
            "BusyKernels": 0,
            "BusyTerminals": 0,
            "BusyProcesses": 0,
            "CPUUtilization": 1.5,
            "IdleSeconds": 60,
        },
    ]
    for request in aws.requests:
        assert request["Namespace"] == SETTINGS.namespace
        for one in request["MetricData"]:
            assert one["Dimensions"] == [{"Name": "NotebookInstanceName", "Value": "workbench"}]


def test_what_could_not_be_seen_is_neither_published_nor_idle() -> None:
    aws = _Aws()
    watching = _agent(aws, QUIET, None, QUIET, QUIET)
    assert [watching.round() for _ in range(4)] == [False, False, False, True]
    assert len(aws.published) == 3


def test_a_refused_stop_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    aws = _Aws("StopNotebookInstance")
    watching = _agent(aws, QUIET, QUIET, QUIET)
    assert [watching.round() for _ in range(3)] == [False, False, True]
    assert aws.stopped == ["workbench"]
    assert "not stopped" in caplog.text


def test_a_report_that_is_lost_does_not_end_the_agent(caplog: pytest.LogCaptureFixture) -> None:
    aws = _Aws("PutMetricData")
    watching = _agent(aws, QUIET, QUIET)
    assert [watching.round(), watching.round()] == [False, True]
    assert "not reported" in caplog.text


def test_a_jupyter_that_does_not_answer_is_not_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("notebook_instance.jupyter.ON_AWS", "https://localhost:9/")
    with caplog.at_level(logging.WARNING):
        observation, _ = Watcher(tmp_path).look()
    assert observation is None
    assert "not idle" in caplog.text


def test_a_second_agent_of_an_instance_ends_at_once(tmp_path: Path) -> None:
    places = Places(tmp_path, tmp_path / "metadata.json")
    places.delivered.mkdir()
    hold = (
        "import fcntl, sys\n"
        f"lock = open({str(places.delivered / 'agent.lock')!r}, 'w')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "print(1, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        # It would need the metadata, which are not there.
        agent.run(SETTINGS, places)
        other.communicate(b"")


def test_settings_and_name_are_read_as_the_script_and_sagemaker_wrote_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps({"ResourceName": "workbench", "ResourceArn": "arn:x"}))
    monkeypatch.setenv("SMP_NOTEBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("SMP_NOTEBOOK_METADATA", str(metadata))
    places = Places.of_this_instance()
    assert places.instance_name() == "workbench"
    written = tmp_path / "settings.json"
    written.write_text(json.dumps({**vars(SETTINGS), "files_bucket": "b", "files_key": "k"}))
    assert Settings.read(written) == SETTINGS
