"""Reading log streams as they grow, and the metric values in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from algorithms import catalog
from local.cli.aws import Aws

TRAINING_GROUP = "/aws/sagemaker/TrainingJobs"
ENDPOINT_GROUP = "/aws/sagemaker/Endpoints/"
NOTEBOOK_GROUP = "/aws/sagemaker/NotebookInstances"
FUNCTION_GROUP = "/aws/lambda/"


@dataclass(frozen=True)
class Line:
    """One line of a log; what is no log of CloudWatch has no stream and no time."""

    message: str
    stream: str = ""
    time: str = ""


@dataclass
class Tail:
    """All streams of a log group whose names begin in one way, read from where it was left."""

    aws: Aws
    group: str
    prefix: str = ""
    _tokens: dict[str, str] = field(default_factory=dict)

    def events(self) -> Iterator[Line]:
        """What has been written since the last call."""
        for stream in self._streams():
            yield from self._events(stream)

    def lines(self) -> Iterator[str]:
        """The words alone of what has been written since the last call."""
        return (line.message for line in self.events())

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return bool(self._streams())

    def _streams(self) -> list[str]:
        logs = self.aws.logs
        names: list[str] = []
        try:
            pages = (
                logs.get_paginator("describe_log_streams").paginate(
                    logGroupName=self.group, logStreamNamePrefix=self.prefix
                )
                if self.prefix
                else logs.get_paginator("describe_log_streams").paginate(logGroupName=self.group)
            )
            for page in pages:
                names += [stream["logStreamName"] for stream in page["logStreams"]]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return names

    def _events(self, stream: str) -> Iterator[Line]:
        logs = self.aws.logs
        while True:
            seen = self._tokens.get(stream)
            page = (
                logs.get_log_events(
                    logGroupName=self.group,
                    logStreamName=stream,
                    startFromHead=True,
                    nextToken=seen,
                )
                if seen
                else logs.get_log_events(
                    logGroupName=self.group, logStreamName=stream, startFromHead=True
                )
            )
            token = page["nextForwardToken"]
            for event in page["events"]:
                moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                yield Line(
                    event["message"].rstrip("\n"),
                    stream,
                    moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                )
            self._tokens[stream] = token
            # The service says that there is no more by giving the same token again.
            if token == seen or not page["events"]:
                return


@dataclass
class Metrics:
    """The latest value of each metric that a job's log lines carry."""

    patterns: Mapping[str, re.Pattern[str]]
    latest: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def read(self, lines: Iterable[str]) -> bool:
        """Take in `lines`; return whether any value came."""
        came = False
        for line in lines:
            for name, pattern in self.patterns.items():
                if match := pattern.search(line):
                    self.latest[name] = float(match[1])
                    self.counts[name] = self.counts.get(name, 0) + 1
                    came = True
        return came

    def words(self) -> str:
        """The values in one line."""
        values = "  ".join(f"{name} {value:g}" for name, value in self.latest.items())
        rounds = max(self.counts.values(), default=0)
        return f"round {rounds}  {values}" if values else ""


def metrics_of(aws: Aws, job: str) -> Metrics:
    """The metrics that the job names, or else those of its built-in algorithm."""
    algorithm = aws.sagemaker.describe_training_job(TrainingJobName=job)["AlgorithmSpecification"]
    if definitions := algorithm.get("MetricDefinitions"):
        return Metrics({one["Name"]: re.compile(one["Regex"]) for one in definitions})
    name = catalog.resolve_image(algorithm.get("TrainingImage", ""))
    known = catalog.algorithm(name).metrics if name else ()
    return Metrics({metric.name: re.compile(metric.regex) for metric in known})
