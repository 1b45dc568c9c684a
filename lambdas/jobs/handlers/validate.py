"""Compile a job request, or refuse it before anything is created."""

from typing import Any

from common.clients import client
from common.log import decided
from jobs import inputs
from jobs.compile import compile_job
from jobs.request import InvalidRequest, read
from jobs.settings import Platform

PLATFORM = Platform.read()


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The job that the request asks for, as the states after this one need it.

    Nothing is written, so that it can be repeated.

    Raises:
        InvalidRequest: With every problem, a line each.
    """
    found, job = read(event["request"]), None
    problems: list[str] = []
    if found.request:
        try:
            job = compile_job(
                PLATFORM, found.request, execution=event["execution"], started=event["started"]
            )
        except InvalidRequest as error:
            problems += error.problems
        problems += inputs.problems(client("s3"), PLATFORM, found.request)
    problems = [*found.problems, *(one for one in problems if not found.concerns_left_out(one))]
    if job is None or problems:
        raise InvalidRequest(list(dict.fromkeys(problems)))
    decided("valid", execution=event["execution"], job=job["name"])
    return job
