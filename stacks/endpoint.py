"""Where one model answers."""

from aws_cdk import (
    DefaultStackSynthesizer,
    Duration,
    Tags,
)
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct

from environments.model import Environment
from sagemaker_constructs.conditions import ENDPOINT_TAG
from sagemaker_constructs.deployed_model import DeployedModel
from sagemaker_constructs.endpoint import Endpoint
from sagemaker_constructs.endpoint_alarms import ALARMS, EndpointAlarms
from sagemaker_constructs.private_network import Placement
from stacks.platform import PlatformStack


class EndpointStack(PlatformStack):
    """One endpoint, whose only question is which model package it serves.

    Without `model:` in the environment file the parameter `ModelPackageArn` answers it: deploying a
    model is changing that parameter, `none` is an endpoint that does not exist, and `cdk deploy`
    keeps what was deployed. With `model:` there is no parameter and the file alone decides.

    CloudFormation changes this stack with a role of its own, see `EndpointStackRole`. It may read
    neither CDK's bootstrap version nor anything else of the account, so the stack checks none.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        config: Environment,
        role: iam.IRole,
        key: kms.IKey,
        data: s3.IBucket,
        topic: sns.ITopic,
        placement: Placement | None,
    ) -> None:
        super().__init__(
            scope,
            f"endpoint-{name}",
            config=config,
            synthesizer=DefaultStackSynthesizer(
                cloud_formation_execution_role=(
                    f"arn:${{AWS::Partition}}:iam::{config.account}:role/"
                    f"{config.endpoint_role_name(name)}"
                ),
                generate_bootstrap_version_rule=False,
            ),
        )
        wanted = config.endpoints[name]
        endpoint_name = config.resource_name(name)
        Tags.of(self).add(ENDPOINT_TAG, endpoint_name)
        model = wanted.model or DeployedModel(self, "Model")
        alarms = EndpointAlarms(
            self,
            ALARMS,
            endpoint_name=endpoint_name,
            latency=Duration.millis(wanted.latency_ms),
        )
        alarms.tell(topic)
        endpoint = Endpoint(
            self,
            "Endpoint",
            endpoint_name=endpoint_name,
            model_package_arn=model if isinstance(model, str) else model.model_package_arn,
            role=role,
            key=key,
            instance_type=wanted.instance_type,
            instances=wanted.instances.min,
            placement=placement,
        )
        endpoint.roll_back_on(alarms.alarms, bake=Duration.seconds(wanted.bake_seconds))
        endpoint.scale(
            maximum=wanted.instances.max,
            invocations_per_instance=wanted.invocations_per_instance,
        )
        if isinstance(model, DeployedModel):
            model.bring(alarms, endpoint)
        if wanted.data_capture_percent:
            endpoint.capture(data, key=key, percent=wanted.data_capture_percent)
        if wanted.instances.min == 1 and config.governance.single_instance_reason:
            endpoint.accept_single_instance(config.governance.single_instance_reason)
