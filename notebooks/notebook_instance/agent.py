"""The activity agent: looks, publishes what it saw, and stops the instance that nobody uses."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.exceptions import BotoCoreError, ClientError

from notebook_instance import jupyter, processes
from notebook_instance.activity import Idleness, Observation
from notebook_instance.settings import HOME, Places, Settings

logger = logging.getLogger(__name__)


class Watcher:
    """Compares each look with the one before."""

    def __init__(self, home: Path, clock: Any = time.time) -> None:  # noqa: ANN401 - time.time
        self._home = home
        self._clock = clock
        self._servers = jupyter.servers(home)
        self._last = clock()
        self._used = self._seconds()

    def look(self) -> tuple[Observation | None, float]:
        """What happens now, or `None` where it cannot be told, and the seconds since last time."""
        now = self._clock()
        last, self._last = self._last, now
        elapsed = now - last
        # Jupyter may have been started anew meanwhile.
        self._servers = jupyter.servers(self._home)
        before, self._used = self._used, self._seconds()
        try:
            kernels = jupyter.look(self._servers)
        except jupyter.Unanswered as error:
            logger.warning(json.dumps({"decision": "not idle", "reason": str(error)}))
            return None, elapsed
        work = processes.work(before, self._used, max(elapsed, 1e-3), psutil.cpu_count() or 1)
        used = sum(moment > last for moment in kernels.terminal_activity)
        running = sum(processes.running_terminals(server.pid) for server in self._servers)
        return Observation(
            busy_kernels=kernels.busy,
            busy_terminals=max(used, running),
            busy_processes=work.busy,
            cpu_percent=work.cpu_percent,
            happened_since=kernels.last_kernel_activity > last,
        ), elapsed

    def _seconds(self) -> dict[processes.Identity, float]:
        servers = [server.pid for server in self._servers if server.pid]
        return processes.seconds_of(os.environ.get(HOME), servers)


class Agent:
    """One round after another, each of which may be the last.

    Args:
        settings: Of the notebook instance.
        instance_name: Its name in SageMaker.
        watcher: What tells what happens.
        cloudwatch: Client that the metrics are published with.
        sagemaker: Client that the instance is stopped with.
    """

    def __init__(
        self,
        settings: Settings,
        instance_name: str,
        watcher: Watcher,
        cloudwatch: Any,  # noqa: ANN401 - there are no types of boto3 on an instance
        sagemaker: Any,  # noqa: ANN401
    ) -> None:
        self._settings = settings
        self._name = instance_name
        self._watcher = watcher
        self._cloudwatch = cloudwatch
        self._sagemaker = sagemaker
        self._idleness = Idleness(settings.interval_seconds)

    def round(self) -> bool:
        """Look, publish, and stop the instance if its time has come; whether that was asked."""
        observation, elapsed = self._watcher.look()
        idle = self._idleness.take(observation, elapsed)
        if observation is not None:
            self._publish(observation, idle)
        return idle >= self._settings.idle_seconds and self._stop(idle)

    def _publish(self, observation: Observation, idle: float) -> None:
        dimensions = [{"Name": "NotebookInstanceName", "Value": self._name}]
        values = (
            ("BusyKernels", observation.busy_kernels, "Count"),
            ("BusyTerminals", observation.busy_terminals, "Count"),
            ("BusyProcesses", observation.busy_processes, "Count"),
            ("CPUUtilization", observation.cpu_percent, "Percent"),
            ("IdleSeconds", idle, "Seconds"),
        )
        try:
            self._cloudwatch.put_metric_data(
                Namespace=self._settings.namespace,
                MetricData=[
                    {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": unit}
                    for name, value, unit in values
                ],
            )
        except (BotoCoreError, ClientError) as error:
            # Whoever watches over the instance hears that there is no report; the next may come.
            logger.error(json.dumps({"decision": "not reported", "reason": str(error)}))  # noqa: TRY400

    def _stop(self, idle: float) -> bool:
        logger.info(json.dumps({"decision": "stop", "instance": self._name, "idle": round(idle)}))
        try:
            self._sagemaker.stop_notebook_instance(NotebookInstanceName=self._name)
        except (BotoCoreError, ClientError) as error:
            logger.error(json.dumps({"decision": "not stopped", "reason": str(error)}))  # noqa: TRY400
            return False
        return True


def run(settings: Settings, places: Places) -> None:
    """Watch until the instance stops; a second agent of the same instance ends at once."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s"
    )
    logger.setLevel(logging.INFO)
    with (places.delivered / "agent.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info(json.dumps({"decision": "end", "reason": "another agent runs"}))
            return
        session = boto3.session.Session(region_name=settings.region)
        agent = Agent(
            settings,
            places.instance_name(),
            Watcher(places.home),
            session.client("cloudwatch"),
            session.client("sagemaker"),
        )
        logger.info(
            json.dumps(
                {"decision": "watch", "idle": settings.idle_seconds, "pid": os.getpid()},
            )
        )
        while not agent.round():
            time.sleep(settings.interval_seconds)
