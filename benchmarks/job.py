"""The platform's own time round a local job: from StartExecution to the registered package."""

from datetime import datetime

from benchmarks.measuring import RUNS, Figure
from local.cli import demo, digits, workflow
from local.cli.aws import Aws
from local.platform.progress import Silent


def measure(aws: Aws) -> list[Figure]:
    """Train and register, and take the algorithm's own run away."""
    request, _ = demo.upload(aws, digits.load(), Silent())
    for part in ("deploy", "sample"):
        request.pop(part)
    values = [_overhead(aws, request) for _ in range(RUNS + 1)]
    return [Figure("round a local job, without the algorithm", "s", values[1:], "to beat: 1.2")]


def _overhead(aws: Aws, request: dict[str, object]) -> float:
    arn = workflow.start(aws, request)
    outcome = workflow.follow(aws, arn, Silent())
    execution = aws.stepfunctions.describe_execution(executionArn=arn)
    job = aws.sagemaker.describe_training_job(TrainingJobName=outcome.job)
    training = next(
        step for step in job["SecondaryStatusTransitions"] if step["Status"] == "Training"
    )
    whole = _between(execution["startDate"], execution["stopDate"])
    return whole - _between(training["StartTime"], training["EndTime"])


def _between(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
