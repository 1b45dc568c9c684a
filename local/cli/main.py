"""The command line as a whole: its commands, in the order in which one meets them."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from local.cli import demo, endpoints, images, logs, notebooks, platform, quotas, status, training
from local.cli.guard import guarded, interruptible


class _Guarded(TyperGroup):
    """Explains what a command fails of, before the command line's own handlers see it."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the library's own types are private
        """Run the command, which a signal interrupts in order."""
        with interruptible(), guarded():
            return super().invoke(ctx)


app = typer.Typer(
    name="smp",
    cls=_Guarded,
    help=(
        "A SageMaker platform on this machine: the stacks of this project, deployed to an AWS"
        " that runs here, without an account. State lives under .local/ of the checkout, or"
        " where SMP_HOME says."
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smp {version('sagemaker-platform')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take what stands in front of a command."""


PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "The platform": (platform.up, platform.stop, platform.down, status.status, platform.env),
    "Models": (training.train, endpoints.deploy, endpoints.invoke, logs.logs),
    "All at once": (demo.demo,),
}

for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)

app.add_typer(images.app, name="images", rich_help_panel="Models")
app.add_typer(notebooks.app, name="notebook", rich_help_panel="Notebooks")
app.add_typer(quotas.app, name="quota", rich_help_panel="The platform")
