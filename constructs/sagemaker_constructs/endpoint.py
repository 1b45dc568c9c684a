"""An endpoint that deploys under watch and scales with its traffic."""

import re
from collections.abc import Sequence

from aws_cdk import Acknowledgment, Duration, Validations
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from sagemaker_constructs.private_network import Placement

# The one variant, which takes all traffic. Scaling and alarms name it, so it is never renamed.
VARIANT = "AllTraffic"
# Room for image and model on each instance that brings no disk of its own.
VOLUME_GB = 30
# What scaling changes, which the role of the endpoint's stack is confined to.
NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"


def has_local_storage(instance_type: str) -> bool:
    """Whether the instances bring disks of their own, which encrypt by themselves.

    SageMaker refuses an endpoint configuration that names a KMS key for such instances.
    """
    family = instance_type.split(".")[1]
    return bool(re.fullmatch(r"[a-z]+\d[a-z]*d[a-z]*|g[5-9]\w*|p[4-9][\w-]*|trn\w+", family))


class Endpoint(Construct):
    """A real-time endpoint for one model package, network isolated and encrypted.

    Another package replaces model and configuration, which have no names of their own, and the
    endpoint moves over to them. It keeps the number of instances that scaling has given it.
    SageMaker changes the instance type of a scaling endpoint only once its scaling target is gone.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        endpoint_name: Name of the endpoint.
        model_package_arn: What to serve.
        role: Role that SageMaker acts with to serve.
        key: Key of the instances' disks, where they have none of their own.
        instance_type: SageMaker instance type, such as `ml.m5.large`.
        instances: How many to start with and never to go below.
        placement: Where in a VPC it runs; without one, in SageMaker's own network.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoint_name: str,
        model_package_arn: str,
        role: iam.IRole,
        key: kms.IKey,
        instance_type: str,
        instances: int,
        placement: Placement | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._instances = instances
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.role_arn,
            enable_network_isolation=True,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                model_package_name=model_package_arn
            ),
            vpc_config=sagemaker.CfnModel.VpcConfigProperty(
                subnets=placement.subnet_ids,
                security_group_ids=[placement.group.security_group_id],
            )
            if placement
            else None,
        )
        Validations.of(model).acknowledge(
            Acknowledgment(
                id="CloudFormation-Validate::SageMaker_16",
                reason="The control asks for a registry inside the VPC; the package's image is in "
                "ECR, for which CloudFormation defines the access mode Platform.",
            ),
        )
        if placement is None:
            Validations.of(model).acknowledge(
                Acknowledgment(
                    id="CloudFormation-Validate::sagemaker_model_in_vpc",
                    reason="The network mode managed has no VPC; with network isolation the "
                    "container reaches no network at all.",
                )
            )
        self._config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            kms_key_id=None if has_local_storage(instance_type) else key.key_arn,
            production_variants=[
                sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                    variant_name=VARIANT,
                    model_name=model.attr_model_name,
                    initial_variant_weight=1,
                    initial_instance_count=instances,
                    instance_type=instance_type,
                    # SageMaker's own size depends on the type, and so would what the disks cost.
                    volume_size_in_gb=None if has_local_storage(instance_type) else VOLUME_GB,
                )
            ],
        )
        if has_local_storage(instance_type):
            Validations.of(self._config).acknowledge(
                Acknowledgment(
                    id="CloudFormation-Validate::"
                    "sagemaker_endpoint_configuration_kms_key_configured",
                    reason=f"SageMaker refuses a key for {instance_type}: its disks are its own "
                    "and encrypted in hardware.",
                )
            )
        self._endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=endpoint_name,
            endpoint_config_name=self._config.attr_endpoint_config_name,
            retain_all_variant_properties=True,
        )
        self.name = endpoint_name

    def accept_single_instance(self, reason: str) -> None:
        """Let the endpoint live on one instance, which Security Hub finds, for a stated reason."""
        Validations.of(self._config).acknowledge(
            Acknowledgment(id="CloudFormation-Validate::SageMaker_4", reason=reason)
        )

    def capture(self, bucket: s3.IBucket, *, key: kms.IKey, percent: int) -> None:
        """Keep `percent` of all requests and answers in `bucket` under `capture/`."""
        options = sagemaker.CfnEndpointConfig.CaptureOptionProperty
        self._config.data_capture_config = sagemaker.CfnEndpointConfig.DataCaptureConfigProperty(
            enable_capture=True,
            initial_sampling_percentage=percent,
            # SageMaker adds the endpoint's name to the prefix by itself.
            destination_s3_uri=bucket.s3_url_for_object("capture"),
            kms_key_id=key.key_arn,
            capture_options=[options(capture_mode="Input"), options(capture_mode="Output")],
            capture_content_type_header=sagemaker.CfnEndpointConfig.CaptureContentTypeHeaderProperty(
                csv_content_types=["text/csv"],
                json_content_types=["application/json", "application/jsonlines"],
            ),
        )

    def roll_back_on(self, alarms: Sequence[cloudwatch.IAlarm], *, bake: Duration) -> None:
        """Keep the old fleet for `bake` beside the new one, and return to it on an alarm.

        From two instances on, one of them takes traffic first; a canary of one is all there is.
        """
        policy = sagemaker.CfnEndpoint
        seconds = int(bake.to_seconds())
        canary = self._instances > 1
        routing = policy.TrafficRoutingConfigProperty(
            type="CANARY" if canary else "ALL_AT_ONCE",
            canary_size=policy.CapacitySizeProperty(type="INSTANCE_COUNT", value=1)
            if canary
            else None,
            # UpdateEndpoint demands it of either type; all at once has no steps to wait between.
            wait_interval_in_seconds=seconds if canary else 0,
        )
        self._endpoint.deployment_config = policy.DeploymentConfigProperty(
            blue_green_update_policy=policy.BlueGreenUpdatePolicyProperty(
                traffic_routing_configuration=routing,
                termination_wait_in_seconds=seconds,
                maximum_execution_timeout_in_seconds=1800 + 2 * seconds,
            ),
            auto_rollback_configuration=policy.AutoRollbackConfigProperty(
                alarms=[policy.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in alarms]
            ),
        )
        self._endpoint.node.add_dependency(*alarms)

    def scale(self, *, maximum: int, invocations_per_instance: int) -> None:
        """Add and remove instances so that each gets about this many requests a minute."""
        # The L2 target would make a role, which the role of this stack may not do; without one,
        # Application Auto Scaling acts with its own service-linked role.
        target = scaling.CfnScalableTarget(
            self,
            "Target",
            service_namespace=NAMESPACE,
            scalable_dimension=DIMENSION,
            resource_id=f"endpoint/{self.name}/variant/{VARIANT}",
            min_capacity=self._instances,
            max_capacity=maximum,
        )
        target.node.add_dependency(self._endpoint)
        scaling.CfnScalingPolicy(
            self,
            "Policy",
            policy_name="invocations",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=invocations_per_instance,
                predefined_metric_specification=scaling.CfnScalingPolicy.PredefinedMetricSpecificationProperty(
                    predefined_metric_type="SageMakerVariantInvocationsPerInstance"
                ),
                scale_out_cooldown=60,
                scale_in_cooldown=300,
            ),
        )
