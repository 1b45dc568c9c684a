"""The images of the platform's own containers."""

from collections.abc import Sequence

from aws_cdk import RemovalPolicy
from constructs import Construct

from environments.model import PREFIX, Environment
from sagemaker_constructs.repositories import Repositories
from stacks.platform import PlatformStack


class ImagesStack(PlatformStack):
    """One repository for each algorithm of the catalogue, and those for images of one's own."""

    def __init__(self, scope: Construct, *, config: Environment, algorithms: Sequence[str]) -> None:
        super().__init__(scope, "images", config=config)
        taken = sorted({*algorithms} & {*config.images})
        if taken:
            raise ValueError(
                f"images: {', '.join(taken)} in environments/{config.name}.yaml; each built-in "
                "algorithm has a repository of its name already, so choose another"
            )
        Repositories(
            self,
            "Repositories",
            prefix=f"{PREFIX}-{config.name}",
            names=[*algorithms, *dict.fromkeys(config.images)],
            removal_policy=(
                RemovalPolicy.RETAIN if config.storage.retain else RemovalPolicy.DESTROY
            ),
        )
