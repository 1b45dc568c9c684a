"""Where everything of an environment runs."""

from constructs import Construct

from environments.model import Environment
from stacks.platform import PlatformStack


class NetworkStack(PlatformStack):
    """SageMaker's own network: jobs and endpoints have no VPC and cost nothing per hour.

    It holds only the published mode. CloudFormation makes no stack without a resource, and the
    stack exists in this mode too so that the deploy order, the roles that deploy it and whoever
    asks where jobs run stay the same when a private network replaces the managed one.
    """

    def __init__(self, scope: Construct, *, config: Environment) -> None:
        super().__init__(scope, "network", config=config)
        self.publish("Mode", "network/mode", config.network.mode)
