"""Entry point that `cdk` runs: read one environment, declare its stacks, synthesize."""

import datetime
import platform
import sys
from pathlib import Path

from aws_cdk import App, CloudFormationValidatePlugin, ValidationRuleSource, Validations
from aws_cdk import aws_lambda as lambda_
from cdk_nag import AwsSolutionsChecks

from algorithms import catalog
from environments import retirement
from environments.model import Environment, InvalidEnvironment, names
from sagemaker_constructs.notebook import PLATFORM
from stacks.declaration import declare

ROOT = Path(__file__).parent

app = App()
name = app.node.try_get_context("environment")
if not name:
    sys.exit(f"which environment? Add -c environment=NAME, one of: {', '.join(names())}")
try:
    config = Environment.load(name)
except InvalidEnvironment as error:
    sys.exit(str(error))

# `-c today=YYYY-MM-DD` synthesizes as on that day.
day = app.node.try_get_context("today")
try:
    today = datetime.date.fromisoformat(day) if day else datetime.datetime.now(datetime.UTC).date()
except (TypeError, ValueError):
    sys.exit(f"the context today is {day!r}; allowed: a date such as 2026-11-30")
ending = retirement.verdict("notebook-platform", PLATFORM, today) if config.notebooks else None
if ending:
    message = f"environments/{config.name}.yaml: notebooks: {ending.sentence}"
    if ending.refused:
        sys.exit(message)
    print(message, file=sys.stderr)

on_this_machine = config.name == "local"
functions = ROOT / "build" / "functions" / ("local" if on_this_machine else "aws")
if not functions.is_dir():
    sys.exit(f"{functions.relative_to(ROOT)} does not exist: run `make functions` first")
architecture = (
    lambda_.Architecture.X86_64
    if on_this_machine and platform.machine() == "x86_64"
    else lambda_.Architecture.ARM_64
)

declare(
    app,
    config,
    algorithms=catalog.names(),
    aws_images=[
        algorithm.image_uri(config.region)
        for algorithm in map(catalog.algorithm, catalog.names())
        if config.region in algorithm.regions
    ],
    functions=functions,
    architecture=architecture,
    notebooks=ROOT / "notebooks",
)

guard = (ROOT / "rules" / "sagemaker.guard").read_text(encoding="utf-8")
Validations.of(app).add_plugins(
    CloudFormationValidatePlugin(
        guard_rules=[ValidationRuleSource(name="security-hub", content=guard)]
    ),
    AwsSolutionsChecks(app),
)

app.synth()
