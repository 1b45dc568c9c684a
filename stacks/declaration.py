"""Which stacks an environment is made of, in the order of their deployment."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from environments.model import Environment
from stacks.delivery import DeliveryStack
from stacks.development import DevelopmentStack
from stacks.endpoint import EndpointStack
from stacks.governance import GovernanceStack
from stacks.images import ImagesStack
from stacks.network import NetworkStack
from stacks.platform import PlatformStack
from stacks.storage import StorageStack
from stacks.training import TrainingStack


def declare(
    app: Construct,
    config: Environment,
    *,
    algorithms: Iterable[str],
    aws_images: Sequence[str],
    functions: Path,
    architecture: lambda_.Architecture,
    notebooks: Path,
) -> dict[str, PlatformStack]:
    """Declare the stacks of one environment, and give them by their part of the platform.

    Args:
        app: What they are declared in.
        config: The environment.
        algorithms: Names of the algorithms that get a repository.
        aws_images: AWS's own images that jobs of the environment may run.
        functions: Folder that `make functions` staged.
        architecture: Processor that the folder was built for.
        notebooks: Folder of what notebook instances are given.
    """
    storage = StorageStack(app, config=config)
    network = NetworkStack(
        app, config=config, key=storage.key, functions=functions, architecture=architecture
    )
    images = ImagesStack(app, config=config, algorithms=list(algorithms))
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
        network=network,
        aws_images=aws_images,
        functions=functions,
        architecture=architecture,
    )
    stacks: dict[str, PlatformStack] = {
        "storage": storage,
        "network": network,
        "images": images,
        "governance": governance,
        "training": training,
    }
    for name, role in training.inference_roles.items():
        stacks[f"endpoint-{name}"] = EndpointStack(
            app,
            name,
            config=config,
            role=role,
            key=storage.key,
            data=storage.data,
            topic=governance.topic,
            placement=network.serving,
        )
    if network.notebooks:
        stacks["development"] = DevelopmentStack(
            app,
            config=config,
            key=storage.key,
            data=storage.data,
            models=storage.models,
            state_machine=training.state_machine,
            execution_role=training.execution_role,
            placement=network.notebooks,
            files=notebooks,
        )
    if config.delivery:
        stacks["delivery"] = DeliveryStack(app, config=config, delivery=config.delivery)
    return stacks
