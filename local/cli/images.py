"""`smp images build | push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import ClientError

from local import shell
from local.cli.aws import Aws
from local.cli.console import Steps, out
from local.cli.output import Json, print_json
from local.images import building, contents
from local.images.pushing import Registry
from local.platform.errors import PlatformError
from local.platform.home import ENVIRONMENT

if TYPE_CHECKING:
    from types_boto3_ecr import ECRClient

_OTHERS = "Choose other credentials, as with AWS_PROFILE."
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Build the containers of the built-in algorithms, and push them to an environment's ECR.",
)
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Algorithms, such as kmeans; all of them without one.", show_default=False),
]
Tag = Annotated[
    str, typer.Option(help="The tag; jobs name the images of this platform by the default one.")
]


@app.command()
def build(
    names: Names = None,
    base: Annotated[str, typer.Option(help="The image to build on: Linux with Python.")] = (
        building.BASE
    ),
    tag: Tag = building.TAG,
    torch_index: Annotated[
        str | None,
        typer.Option(
            help="Take torch from this index, such as https://download.pytorch.org/whl/cpu, whose"
            " builds carry no CUDA.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build the images in Docker of this machine."""
    built = _build(names or [], base, tag, torch_index)
    if as_json:
        print_json(built)
    else:
        for image in built:
            out.print(image)


def _build(names: list[str], base: str, tag: str, torch_index: str | None) -> list[str]:
    found: list[str] = []
    wanted = contents.listed(names)
    docker = building.client()
    with Steps() as steps:
        step = f"look into {base}"
        steps.begin(step)
        ground = building.base(docker, base)
        steps.end(step, f"Python {ground.python}, {ground.machine}")
        for what in (contents.LIGHT, contents.DEEP):
            of_kind = [name for name in wanted if contents.kind(name) == what]
            if not of_kind:
                continue
            step = f"build {what}: {', '.join(of_kind)}"
            steps.begin(step)
            made = building.build(
                docker,
                what,
                of_kind,
                ground,
                tag=tag,
                torch_index=torch_index,
                told=lambda line, step=step: steps.update(step, line),  # type: ignore[misc]
            )
            steps.end(step)
            found += made
    return found


@app.command()
def push(
    names: Names = None,
    environment: Annotated[
        str,
        typer.Option(help="Whose repositories: the local platform's, or those of your account."),
    ] = ENVIRONMENT,
    tag: Tag = building.TAG,
    as_json: Json = False,
) -> None:
    """Push built images to the repositories of an environment, for jobs with `image: platform`."""
    pushed = _push(names or [], environment, tag)
    if as_json:
        print_json(pushed)
    else:
        for one in pushed:
            out.print(one["uri"])


def _push(names: list[str], environment: str, tag: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    wanted = contents.listed(names)
    registry = Registry(_ecr(environment), environment, building.client())
    with Steps() as steps:
        for name in wanted:
            step = f"push {name}"
            steps.begin(step)
            try:
                pushed = registry.push(name, tag)
            except ClientError as error:
                if environment == ENVIRONMENT:
                    raise
                raise PlatformError(step, str(error), _OTHERS) from None
            steps.end(step, "was there already: tags never move" if pushed.before else "")
            found.append({"name": name, "uri": pushed.uri, "before": pushed.before})
    return found


def _ecr(environment: str) -> ECRClient:
    if environment == ENVIRONMENT:
        return Aws().ecr
    import boto3

    from environments.model import Environment, InvalidEnvironment

    try:
        found = Environment.load(environment)
    except (InvalidEnvironment, OSError) as error:
        raise PlatformError(
            "read the environment", str(error), "Name an environment whose file is as it should be."
        ) from error
    shell.give_back()
    session = boto3.Session(region_name=found.region)
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except ClientError as error:
        raise PlatformError("find your credentials", str(error), _OTHERS) from None
    if account != found.account:
        raise PlatformError(
            f"push to {environment}",
            f"Your credentials are of account {account}; {environment} is in {found.account}.",
            _OTHERS,
        )
    return session.client("ecr")
