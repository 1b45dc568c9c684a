"""`smp deploy | invoke`."""

from __future__ import annotations

import base64
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import ClientError

from local.cli import reading
from local.cli.aws import Aws
from local.cli.console import Steps, err
from local.cli.output import Json, print_json
from local.platform.errors import PlatformError
from local.platform.home import PREFIX

PARAMETER = "ModelPackageArn"
PAUSE = 0.3
# More than InvokeEndpoint takes.
_LONGEST = 64 << 20


def deploy(
    package: Annotated[
        str, typer.Argument(help="The ARN of a model package, or GROUP for its newest approved.")
    ],
    endpoint: Annotated[
        str, typer.Argument(help="The endpoint's name in the environment file, such as digits.")
    ],
    as_json: Json = False,
) -> None:
    """Put a registered model into service: one parameter of the endpoint's stack."""
    aws = Aws()
    arn = package if package.startswith("arn:") else newest(aws, package)
    stack = _stack(aws, _short(endpoint))
    with Steps() as steps:
        steps.begin(stack)
        try:
            changed = _update(aws, stack, arn, steps)
        except BaseException:
            steps.fail(stack)
            raise
        steps.end(stack, "" if changed else "this package is in service already")
    short = _short(endpoint)
    if as_json:
        print_json({"endpoint": short, "stack": stack, "package": arn, "changed": changed})
    err.print(f"Ask it:  smp invoke {short} --content-type text/csv --body @sample.csv")


def _stack(aws: Aws, endpoint: str) -> str:
    """The stack of an endpoint of the environment file.

    Raises:
        PlatformError: The file has no such endpoint, or it is not deployed; with those that are.
    """
    stacks = aws.published("endpoints/", "/stack-name")
    if endpoint not in stacks:
        raise PlatformError(
            "find the endpoint",
            f"The environment has no endpoint {endpoint}; it has {', '.join(stacks) or 'none'}.",
            "Name one of them, or write it into environments/local.yaml and deploy it with: smp up",
        )
    return stacks[endpoint]


def newest(aws: Aws, group: str) -> str:
    """The ARN of the newest approved package of a group."""
    name = group if group.startswith(PREFIX) else f"{PREFIX}-{group}"
    try:
        pages = aws.sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=name,
            ModelApprovalStatus="Approved",
            SortBy="CreationTime",
            SortOrder="Descending",
        )
        # A page without an approved package is not the last one.
        arns = (one["ModelPackageArn"] for page in pages for one in page["ModelPackageSummaryList"])
        found = next(arns, None)
    except ClientError as error:
        raise PlatformError(
            "find the package", str(error), "Give a group of the environment file, or an ARN."
        ) from None
    if found is None:
        raise PlatformError(
            "find the package",
            f"The group {name} has no approved package, or there is no such group.",
            "Name another, or register one with: smp train docs/examples/digits.json",
        )
    return found


def _short(endpoint: str) -> str:
    return endpoint.removeprefix(f"{PREFIX}-")


def _update(aws: Aws, stack: str, arn: str, steps: Steps) -> bool:
    """Change the stack's package and wait; False when it was that one already."""
    client = aws.cloudformation
    described = client.describe_stacks(StackName=stack)["Stacks"][0]
    try:
        client.update_stack(
            StackName=stack,
            UsePreviousTemplate=True,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
            Parameters=[
                {"ParameterKey": PARAMETER, "ParameterValue": arn}
                if parameter["ParameterKey"] == PARAMETER
                else {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
                for parameter in described.get("Parameters", [])
            ],
        )
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    while True:
        described = client.describe_stacks(StackName=stack)["Stacks"][0]
        status = described["StackStatus"]
        steps.update(stack, status)
        if status == "UPDATE_COMPLETE":
            return True
        if status.endswith(("_FAILED", "ROLLBACK_COMPLETE")):
            raise PlatformError(
                f"deploy to {stack}",
                _reason(aws, stack) or described.get("StackStatusReason", status),
                "The stack is back at its last good version."
                if status == "UPDATE_ROLLBACK_COMPLETE"
                else "See the endpoint's own log: smp logs " + stack.rsplit("endpoint-", 1)[-1],
            )
        time.sleep(PAUSE)


def _reason(aws: Aws, stack: str) -> str:
    """Why the newest resource failed that was not merely cancelled."""
    for event in aws.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]:
        reason = event.get("ResourceStatusReason", "")
        failed = event.get("ResourceStatus", "").endswith("_FAILED")
        if failed and reason and "cancelled" not in reason.lower():
            return f"{event.get('LogicalResourceId')}: {reason}"
    return ""


def invoke(
    endpoint: Annotated[str, typer.Argument(help="The endpoint's name, whole or as in the file.")],
    body: Annotated[
        str, typer.Option(help="The request itself, @FILE for a file, @- for standard input.")
    ],
    content_type: Annotated[str, typer.Option(help="What the body is.")] = "text/csv",
    accept: Annotated[
        str | None, typer.Option(help="What the answer shall be.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Send one request to an endpoint and print its answer."""
    aws = Aws()
    payload = _payload(body)
    name = endpoint if endpoint.startswith(PREFIX) else f"{PREFIX}-{endpoint}"
    try:
        answer = (
            aws.runtime.invoke_endpoint(
                EndpointName=name, Body=payload, ContentType=content_type, Accept=accept
            )
            if accept
            else aws.runtime.invoke_endpoint(
                EndpointName=name, Body=payload, ContentType=content_type
            )
        )
    except ClientError as error:
        answered = error.response["Error"]["Code"] == "ModelError"
        raise PlatformError(
            f"invoke {name}",
            str(error),
            f"What the endpoint printed: smp logs {endpoint}"
            if answered
            else "See which endpoints there are: smp status; put a model into one: smp deploy.",
        ) from None
    received = answer["Body"].read()
    if as_json:
        print_json(
            {
                "endpoint": name,
                "variant": answer.get("InvokedProductionVariant", ""),
                "content_type": answer.get("ContentType", ""),
                **_body(received),
            }
        )
        return
    sys.stdout.buffer.write(received)
    sys.stdout.buffer.flush()
    if sys.stdout.isatty():
        sys.stdout.write("\n")


def _body(received: bytes) -> dict[str, str]:
    """An answer as JSON can hold it."""
    try:
        return {"body": received.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(received).decode()}


def _payload(body: str) -> bytes:
    if body == "@-":
        read = sys.stdin.buffer.read(_LONGEST + 1)
        if len(read) > _LONGEST:
            raise PlatformError(
                "read the body",
                f"Standard input holds more than {_LONGEST >> 20} MiB.",
                "Send an endpoint less at once.",
            )
        return read
    if body.startswith("@"):
        remedy = "Name a file of one request after the @."
        return reading.contents(Path(body[1:]), _LONGEST, "read the body", remedy)
    return os.fsencode(body)
