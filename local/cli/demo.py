"""`smp demo`: the main job, from nothing to predictions."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.markup import escape

from environments import prices
from local.cli import digits, workflow
from local.cli.aws import Aws
from local.cli.console import Steps, itself, out
from local.cli.digits import Digits
from local.cli.output import Json, print_json
from local.cli.tailing import TRAINING_GROUP
from local.cli.workflow import Outcome
from local.platform import lifecycle
from local.platform.errors import PlatformError
from local.platform.home import CHECKOUT, PREFIX, default_home
from local.platform.progress import Progress

EXAMPLE = CHECKOUT / "docs" / "examples" / "digits.json"
ENDPOINT = f"{PREFIX}-digits"
WANTED_ACCURACY = 0.95


@dataclass(frozen=True)
class Answers:
    """What the endpoint said of the held-out digits."""

    accuracy: float
    count: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Report:
    """What the last screen shows."""

    answers: Answers
    seconds: float
    job: str
    execution: str
    package: str
    endpoint: str
    objects: Sequence[str]
    data: Sequence[str]
    metrics: dict[str, float]
    log_group: str
    instance_type: str
    instances: int


def demo(
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="As for smp up.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write the figures of the last screen into this JSON file, too."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring the platform up, train on real data, deploy, and ask the endpoint."""
    began = time.monotonic()
    with Steps() as steps:
        platform = lifecycle.up(default_home(), port, steps)
        aws = Aws(platform)
        with _step(steps, "split the digits", "Install anew with: make clean setup"):
            parts = digits.load()
        request, data = upload(aws, parts, steps)
        outcome = workflow.follow(aws, workflow.start(aws, request), steps)
        with _step(steps, f"ask {ENDPOINT}", "What it printed: smp logs digits"):
            answers = ask(aws, parts)
        with _step(steps, "look where everything lies", "See what runs with: smp status"):
            result = _report(aws, outcome, answers, data, began)
    if report:
        report.write_text(json.dumps(asdict(result), indent=2), encoding="utf-8")
    if as_json:
        print_json(asdict(result))
    else:
        _screen(result, platform.url)
    if answers.accuracy < WANTED_ACCURACY:
        raise PlatformError(
            "judge the model",
            f"It named {answers.accuracy:.1%} of the held-out digits, fewer than"
            f" {WANTED_ACCURACY:.0%}.",
            f"Look at its training: smp logs {outcome.job}",
        )


@contextmanager
def _step(steps: Progress, name: str, remedy: str) -> Iterator[None]:
    """A step whose failures are told under its name."""
    steps.begin(name)
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        steps.fail(name)
        raise PlatformError(name, str(error), remedy) from None
    except BaseException:
        steps.fail(name)
        raise
    steps.end(name)


def upload(aws: Aws, parts: Digits, steps: Progress) -> tuple[dict[str, Any], list[str]]:
    """Put the data into the data bucket; return the job request for it and where it lies."""
    request: dict[str, Any] = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    request["provenance"] = {"submitted_by": aws.caller()}
    request["sample"] = {"content_type": "text/csv", "body": parts.held_out[0]}
    uris = []
    with _step(steps, "upload the data", "See whether the stacks are deployed: smp status"):
        bucket = aws.parameter("storage/data-bucket")
        keys = digits.bring(aws, parts)
        for channel, settings in request["channels"].items():
            uri = f"s3://{bucket}/{keys[channel]}"
            settings["s3_uri"] = f"{uri.rpartition('/')[0]}/"
            uris.append(uri)
    return request, uris


def ask(aws: Aws, parts: Digits) -> Answers:
    """Send every held-out digit to the endpoint, each by itself, and compare its answer."""
    right = 0
    times = []
    for row, label in zip(parts.held_out, parts.labels, strict=True):
        began = time.perf_counter()
        answer = aws.runtime.invoke_endpoint(
            EndpointName=ENDPOINT, ContentType="text/csv", Accept="text/csv", Body=row.encode()
        )["Body"].read()
        times.append(time.perf_counter() - began)
        right += round(float(answer)) == label
    return Answers(
        accuracy=right / len(times),
        count=len(times),
        p50_ms=_percentile(times, 50),
        p99_ms=_percentile(times, 99),
    )


def _percentile(seconds: Sequence[float], percent: int) -> float:
    """The smallest time within which `percent` of the requests were answered, in ms."""
    index = math.ceil(len(seconds) * percent / 100) - 1
    return sorted(seconds)[index] * 1000


def _report(
    aws: Aws, outcome: Outcome, answers: Answers, data: Sequence[str], began: float
) -> Report:
    job = aws.sagemaker.describe_training_job(TrainingJobName=outcome.job)
    models = aws.parameter("storage/models-bucket")
    pages = aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=models, Prefix=f"jobs/{outcome.job}/"
    )
    stack = aws.parameter("endpoints/digits/stack-name")
    parameters = aws.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Parameters"]
    endpoint = aws.sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    variant = aws.sagemaker.describe_endpoint_config(
        EndpointConfigName=endpoint["EndpointConfigName"]
    )["ProductionVariants"][0]
    return Report(
        answers=answers,
        seconds=time.monotonic() - began,
        job=outcome.job,
        execution=outcome.execution_arn,
        package=next(
            parameter["ParameterValue"]
            for parameter in parameters
            if parameter["ParameterKey"] == "ModelPackageArn"
        ),
        endpoint=endpoint["EndpointArn"],
        objects=[
            f"s3://{models}/{item['Key']}" for page in pages for item in page.get("Contents", [])
        ],
        data=data,
        metrics={
            metric["MetricName"]: metric["Value"] for metric in job.get("FinalMetricDataList", [])
        },
        log_group=TRAINING_GROUP,
        instance_type=variant["InstanceType"],
        instances=variant["InitialInstanceCount"],
    )


def _screen(report: Report, url: str) -> None:
    answers, smp = report.answers, itself()
    metrics = "  ".join(f"{name} {value:g}" for name, value in report.metrics.items())
    lines = [
        f"[bold]{answers.accuracy:.1%}[/] of {answers.count} held-out digits named rightly by the"
        f" endpoint; latency p50 {answers.p50_ms:.1f} ms, p99 {answers.p99_ms:.1f} ms",
        f"[dim]{escape(metrics)}[/]",
        "",
        "[bold]Where everything lies[/]",
        *(f"  data       {escape(uri)}" for uri in report.data),
        *(f"  job        {escape(uri)}" for uri in report.objects),
        f"  log        {report.log_group}, streams {escape(report.job)}/...",
        f"  execution  {escape(report.execution)}",
        f"  package    {escape(report.package)}",
        f"  endpoint   {escape(report.endpoint)}",
        "",
        "[bold]On AWS this would cost while it runs[/]",
        f"  endpoint   {prices.hourly(report.instance_type, report.instances)}",
        "  Not counted: storage, requests, logs, alarms and the KMS key.",
        "",
        f"[bold]The platform goes on running[/] at {url}",
        f'  Use boto3 or the AWS CLI on it:  eval "$({smp} env)"',
        f"  Look at it:                      {smp} status; {smp} logs {escape(report.job)}",
        f"  Ask for another prediction:      {smp} invoke digits --body @row.csv",
        f"  Pause it, or end it for good:    {smp} stop, {smp} down",
    ]
    # Without a frame: what one copies from here, an ARN or a URI, must stay in one piece.
    out.rule(f"[bold green]Done after {report.seconds:.1f} s", align="left")
    for line in lines:
        out.print(line)
