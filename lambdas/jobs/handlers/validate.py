"""Compile a job request, or refuse it before anything is created."""

from typing import Any

from common.clients import client
from common.log import decided
from jobs import inputs
from jobs.compile import compile_job
from jobs.request import InvalidRequest, parse
from jobs.settings import Platform

PLATFORM = Platform.read()


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The job that the request asks for, as the states after this one need it.

    Nothing is written, so that it can be repeated.

    Raises:
        InvalidRequest: With every problem, a line each.
    """
    request = parse(event["request"])
    job = compile_job(PLATFORM, request, execution=event["execution"], started=event["started"])
    problems = inputs.problems(client("s3"), PLATFORM, request)
    if problems:
        raise InvalidRequest(problems)
    decided("valid", execution=event["execution"], job=job["name"])
    return job
