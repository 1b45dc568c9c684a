"""Finds the metrics of a training job in its log, and publishes them."""

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from local.sagemaker.roles import CALL_ERRORS, CallFailed, Role

NAMESPACE = "/aws/sagemaker/TrainingJobs"
_PER_CALL = 1000
_INTERVAL = 1.0


class Metrics:
    """Reads values out of log lines and sends them to CloudWatch as the role."""

    def __init__(self, role: Role, host: str, definitions: Sequence[Mapping[str, str]]) -> None:
        self._role = role
        self._host = host
        self._patterns = [(d["Name"], re.compile(d["Regex"])) for d in definitions]
        self._pending: list[dict[str, Any]] = []
        self._last: dict[str, dict[str, Any]] = {}
        self._last_sent = time.monotonic()
        self._lock = threading.Lock()

    def read(self, line: str) -> None:
        """Look for values in a line, and send what has gathered for a while.

        Raises:
            CallFailed: when the role may not publish metrics.
        """
        now = time.time()
        for name, pattern in self._patterns:
            for match in pattern.finditer(line):
                value = _number(match)
                if value is not None:
                    self._add(name, value, now)
        if self._pending and time.monotonic() - self._last_sent > _INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered.

        Raises:
            CallFailed: when the role may not publish metrics.
        """
        with self._lock:
            pending, self._pending = self._pending, []
            self._last_sent = time.monotonic()
        for start in range(0, len(pending), _PER_CALL):
            try:
                self._role.client("cloudwatch").put_metric_data(
                    Namespace=NAMESPACE, MetricData=pending[start : start + _PER_CALL]
                )
            except (*CALL_ERRORS, CallFailed) as error:
                raise self._role.failure(error, "cloudwatch:PutMetricData", "*") from error

    def last(self) -> dict[str, dict[str, Any]]:
        """Give the last value of each metric by its name."""
        with self._lock:
            return dict(self._last)

    def _add(self, name: str, value: float, at: float) -> None:
        # By host, and by job: the SDK's TrainingJobAnalytics asks for the latter alone.
        job = self._host.partition("/")[0]
        data = [
            {
                "MetricName": name,
                "Dimensions": [{"Name": dimension, "Value": named}],
                "Timestamp": at,
                "Value": value,
            }
            for dimension, named in (("Host", self._host), ("TrainingJobName", job))
        ]
        with self._lock:
            self._pending += data
            self._last[name] = {"MetricName": name, "Value": value, "Timestamp": at}


def final(hosts: Iterable[Metrics]) -> list[dict[str, Any]]:
    """Give the last value that any host had of each metric, as DescribeTrainingJob shows them."""
    found: dict[str, dict[str, Any]] = {}
    for host in hosts:
        for name, datum in host.last().items():
            if name not in found or datum["Timestamp"] > found[name]["Timestamp"]:
                found[name] = datum
    return [found[name] for name in sorted(found)]


def _number(match: re.Match[str]) -> float | None:
    """Give the first group as a number that CloudWatch takes; NaN and infinity are none."""
    try:
        value = float(match.group(1) if match.re.groups else match.group())
    except (TypeError, ValueError):
        return None
    return value if value - value == 0 else None
