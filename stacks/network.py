"""Where everything of an environment runs."""

from pathlib import Path

from aws_cdk import Fn
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from environments.model import Environment
from sagemaker_constructs import notebook_permissions
from sagemaker_constructs.default_group import ClosedDefaultGroup
from sagemaker_constructs.inference_role import InferenceRole
from sagemaker_constructs.private_network import Placement, PrivateNetwork
from sagemaker_constructs.retention import RETENTION
from sagemaker_constructs.training_role import TrainingRole
from stacks.platform import PlatformStack


class NetworkStack(PlatformStack):
    """`managed`: SageMaker's own network; `private`: a VPC without a way out.

    A managed network costs nothing per hour, and its stack holds only the published mode, unless
    there are notebooks: without a way to the internet, a notebook needs a subnet. CloudFormation
    makes no stack without a resource, and the stack exists in this mode too so that the deploy
    order, the roles that deploy it and whoever asks where jobs run stay the same when a private
    network replaces the managed one.
    """

    training: Placement | None = None
    """Where training jobs run; `None` in SageMaker's own network."""

    serving: Placement | None = None
    """Where endpoints run; `None` in SageMaker's own network."""

    notebooks: Placement | None = None
    """Where notebook instances run; `None` when there are none."""

    def __init__(
        self,
        scope: Construct,
        *,
        config: Environment,
        key: kms.IKey,
        functions: Path,
        architecture: lambda_.Architecture,
    ) -> None:
        super().__init__(scope, "network", config=config)
        private = config.network.mode == "private"
        # A notebook lives in one zone, as its volume does, and each zone is paid for.
        self._zones = config.network.zones if private else 1
        self.publish("Mode", "network/mode", config.network.mode)
        calls = []
        if private:
            calls += [*TrainingRole.CALLS, *(InferenceRole.CALLS if config.endpoints else ())]
        if config.notebooks:
            repository = any(one.code_repository for one in config.notebooks.values())
            calls += notebook_permissions.calls(repository=repository)
        if not calls:
            return
        retention = RETENTION[config.governance.log_retention_days]
        network = PrivateNetwork(
            self,
            "Network",
            cidr=config.network.cidr,
            zones=self._zones,
            calls=calls,
            key=key,
            log_retention=retention,
        )
        ClosedDefaultGroup(
            self,
            "DefaultGroup",
            vpc=network.vpc,
            code_path=functions,
            architecture=architecture,
            key=key,
            log_retention=retention,
        )
        if private:
            self.training = network.training("Training")
        if private and config.endpoints:
            self.serving = network.serving("Serving")
        if config.notebooks:
            self.notebooks = network.notebooks("Notebooks")
        self.publish("VpcId", "network/vpc-id", network.vpc.vpc_id)

    @property
    def availability_zones(self) -> list[str]:
        """Zones that CloudFormation picks, so that synth asks AWS nothing."""
        return [Fn.select(index, Fn.get_azs()) for index in range(self._zones)]
