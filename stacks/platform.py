"""What all stacks of an environment have in common."""

from aws_cdk import Environment as CdkEnvironment
from aws_cdk import IStackSynthesizer, Stack, Tags
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from environments.model import PREFIX, Environment


class PlatformStack(Stack):
    """A stack in the environment's account and region, with its name and tags."""

    def __init__(
        self,
        scope: Construct,
        part: str,
        *,
        config: Environment,
        synthesizer: IStackSynthesizer | None = None,
    ) -> None:
        super().__init__(
            scope,
            config.stack_name(part),
            env=CdkEnvironment(account=config.account, region=config.region),
            description=f"SageMaker Platform, {config.name}: {part}",
            synthesizer=synthesizer,
        )
        self._environment_name = config.name
        tags = {
            **config.tags,
            "Environment": config.name,
            "DataClassification": config.governance.data_classification,
            "OwnerTeam": config.governance.owner,
        }
        for key, value in tags.items():
            Tags.of(self).add(key, value)

    def publish(self, id: str, name: str, value: str) -> None:
        """Write `value` where people and programs outside of CDK look it up."""
        ssm.StringParameter(
            self,
            id,
            parameter_name=f"/{PREFIX}/{self._environment_name}/{name}",
            string_value=value,
        )
