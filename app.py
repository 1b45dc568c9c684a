"""Entry point that `cdk` runs: read one environment, declare its stacks, synthesize."""

import platform
import sys
from pathlib import Path

from aws_cdk import App, CloudFormationValidatePlugin, ValidationRuleSource, Validations
from aws_cdk import aws_lambda as lambda_
from cdk_nag import AwsSolutionsChecks

from algorithms import catalog
from environments.model import Environment, InvalidEnvironment, names
from stacks.delivery import DeliveryStack
from stacks.endpoint import EndpointStack
from stacks.governance import GovernanceStack
from stacks.images import ImagesStack
from stacks.network import NetworkStack
from stacks.storage import StorageStack
from stacks.training import TrainingStack

ROOT = Path(__file__).parent

app = App()
name = app.node.try_get_context("environment")
if not name:
    sys.exit(f"which environment? Add -c environment=NAME, one of: {', '.join(names())}")
try:
    config = Environment.load(name)
except InvalidEnvironment as error:
    sys.exit(str(error))

on_this_machine = config.name == "local"
functions = ROOT / "build" / "functions" / ("local" if on_this_machine else "aws")
if not functions.is_dir():
    sys.exit(f"{functions.relative_to(ROOT)} does not exist: run `make functions` first")
architecture = (
    lambda_.Architecture.X86_64
    if on_this_machine and platform.machine() == "x86_64"
    else lambda_.Architecture.ARM_64
)

NetworkStack(app, config=config)
storage = StorageStack(app, config=config)
ImagesStack(app, config=config, algorithms=catalog.names())
governance = GovernanceStack(
    app, config=config, key=storage.key, functions=functions, architecture=architecture
)
training = TrainingStack(
    app,
    config=config,
    key=storage.key,
    data=storage.data,
    models=storage.models,
    topic=governance.topic,
    aws_images=[
        algorithm.image_uri(config.region)
        for algorithm in map(catalog.algorithm, catalog.names())
        if config.region in algorithm.regions
    ],
    functions=functions,
    architecture=architecture,
)
for endpoint, role in training.inference_roles.items():
    EndpointStack(
        app,
        endpoint,
        config=config,
        role=role,
        key=storage.key,
        data=storage.data,
        topic=governance.topic,
    )
if config.delivery:
    DeliveryStack(app, config=config, delivery=config.delivery)

guard = (ROOT / "rules" / "sagemaker.guard").read_text(encoding="utf-8")
Validations.of(app).add_plugins(
    CloudFormationValidatePlugin(
        guard_rules=[ValidationRuleSource(name="security-hub", content=guard)]
    ),
    AwsSolutionsChecks(app),
)

app.synth()
