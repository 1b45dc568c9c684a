"""Who may change an endpoint."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from sagemaker_constructs.containers import encrypt_disks
from sagemaker_constructs.wildcards import acknowledge_wildcards

SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"


class EndpointStackRole(Construct):
    """The role that CloudFormation acts with to change one endpoint's stack.

    Whoever may update a stack acts with its role, so this one may touch nothing but what an
    endpoint is made of, and may hand SageMaker no other role than `inference_role`. It belongs into
    another stack than the endpoint's: it must exist first, and what can change the endpoint must
    not be able to change it.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        role_name: Name of the role, by which the endpoint's stack knows it before it exists.
        endpoint_name: Name of the endpoint in SageMaker.
        stack_name: Name of the endpoint's stack.
        upstream_stacks: Names of the stacks whose outputs the endpoint's stack reads.
        model_package_groups: Names of the groups whose models the endpoint may serve.
        inference_role: Role that SageMaker acts with for the endpoint.
        key: Key of the instances' disks.
    """

    role: iam.Role
    """The role itself."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        role_name: str,
        endpoint_name: str,
        stack_name: str,
        upstream_stacks: Sequence[str],
        model_package_groups: Sequence[str],
        inference_role: iam.IRole,
        key: kms.IKey,
    ) -> None:
        super().__init__(scope, id)
        self._endpoint = self._arn("sagemaker", "endpoint", endpoint_name)
        self._config = self._arn("sagemaker", "endpoint-config", "*")
        self._model = self._arn("sagemaker", "model", "*")
        self._packages = [
            self._arn("sagemaker", "model-package", f"{group}/*") for group in model_package_groups
        ]
        self._alarms = [
            self._arn("cloudwatch", "alarm", f"{prefix}*", colon=True)
            for prefix in (f"{stack_name}-", f"TargetTracking-endpoint/{endpoint_name}/")
        ]
        self._targets = self._arn("application-autoscaling", "scalable-target", "*")
        self._upstream = [
            self._arn("cloudformation", "stack", f"{name}/*") for name in upstream_stacks
        ]
        self.role = iam.Role(
            self,
            "Role",
            role_name=role_name,
            assumed_by=iam.ServicePrincipal("cloudformation.amazonaws.com"),
            description=f"CloudFormation acts with it to change {stack_name}",
            inline_policies={
                "sagemaker": iam.PolicyDocument(statements=self._serving(inference_role, key)),
                "operations": iam.PolicyDocument(statements=self._operating()),
            },
        )
        acknowledge_wildcards(
            self.role,
            {
                "*": "Describing alarms and scaling cannot be told by resource.",
                self._model: "CloudFormation names models; they serve nothing by themselves.",
                self._config: "CloudFormation names them; they serve nothing by themselves.",
                **dict.fromkeys(self._packages, "Any version of a group may be served."),
                **dict.fromkeys(self._alarms, "AWS appends an id to the endpoint's name."),
                self._targets: "AWS names scalable targets by ids of its own.",
                **dict.fromkeys(self._upstream, "CloudFormation appends an id to the name."),
            },
        )

    def let_deploy(self, deploy_role: iam.IRole) -> None:
        """Let the deploy role of `cdk bootstrap` hand this role to CloudFormation, and no other.

        Bootstrap lets its deploy role pass one role alone, which may do everything; each further
        one has to be named. The policy is attached to a role that bootstrap owns, and goes with
        this stack.
        """
        iam.Policy(
            self,
            "Deploy",
            roles=[deploy_role],
            statements=[
                iam.PolicyStatement(
                    sid="HandRoleToCloudFormation",
                    actions=["iam:PassRole"],
                    resources=[self.role.role_arn],
                    conditions={
                        "StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}
                    },
                )
            ],
        )

    def _serving(self, inference_role: iam.IRole, key: kms.IKey) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(
                sid="ModelAndConfiguration",
                actions=[
                    f"sagemaker:{verb}{kind}"
                    for kind in ("EndpointConfig", "Model")
                    for verb in ("Create", "Delete", "Describe")
                ],
                resources=[self._config, self._model],
            ),
            iam.PolicyStatement(
                sid="Endpoint",
                actions=[
                    "sagemaker:CreateEndpoint",
                    "sagemaker:DeleteEndpoint",
                    "sagemaker:DescribeEndpoint",
                    "sagemaker:UpdateEndpoint",
                    "sagemaker:UpdateEndpointWeightsAndCapacities",
                ],
                # Creating and updating are authorized against the configuration as well.
                resources=[self._endpoint, self._config],
            ),
            iam.PolicyStatement(
                sid="Tags",
                actions=["sagemaker:AddTags", "sagemaker:DeleteTags", "sagemaker:ListTags"],
                resources=[self._endpoint, self._config, self._model],
            ),
            iam.PolicyStatement(
                sid="ReadPackage",
                actions=["sagemaker:DescribeModelPackage"],
                resources=self._packages,
            ),
            encrypt_disks(key),
            iam.PolicyStatement(
                sid="FindKey", actions=["kms:DescribeKey"], resources=[key.key_arn]
            ),
            iam.PolicyStatement(
                sid="HandRoleToSageMaker",
                actions=["iam:PassRole"],
                resources=[inference_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
        ]

    def _operating(self) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(
                sid="Alarms",
                actions=[
                    "cloudwatch:DeleteAlarms",
                    "cloudwatch:ListTagsForResource",
                    "cloudwatch:PutMetricAlarm",
                    "cloudwatch:TagResource",
                    "cloudwatch:UntagResource",
                ],
                resources=self._alarms,
            ),
            iam.PolicyStatement(
                sid="Scaling",
                actions=[
                    "application-autoscaling:DeleteScalingPolicy",
                    "application-autoscaling:DeregisterScalableTarget",
                    "application-autoscaling:ListTagsForResource",
                    "application-autoscaling:PutScalingPolicy",
                    "application-autoscaling:RegisterScalableTarget",
                    "application-autoscaling:TagResource",
                    "application-autoscaling:UntagResource",
                ],
                resources=[self._targets],
            ),
            iam.PolicyStatement(
                sid="Describe",
                actions=[
                    "application-autoscaling:DescribeScalableTargets",
                    "application-autoscaling:DescribeScalingPolicies",
                    "cloudwatch:DescribeAlarms",
                ],
                resources=["*"],
            ),
            iam.PolicyStatement(
                sid="FirstScalingOfTheAccount",
                actions=["iam:CreateServiceLinkedRole"],
                resources=[
                    Stack.of(self).format_arn(
                        service="iam",
                        region="",
                        resource="role",
                        resource_name=f"aws-service-role/{SCALING_SERVICE}/{SCALING_ROLE}",
                    )
                ],
                conditions={"StringEquals": {"iam:AWSServiceName": SCALING_SERVICE}},
            ),
            iam.PolicyStatement(
                sid="ReadUpstreamOutputs",
                actions=["cloudformation:DescribeStacks"],
                resources=self._upstream,
            ),
        ]

    def _arn(self, service: str, resource: str, name: str, *, colon: bool = False) -> str:
        return Stack.of(self).format_arn(
            service=service,
            resource=resource,
            resource_name=name,
            arn_format=(ArnFormat.COLON_RESOURCE_NAME if colon else ArnFormat.SLASH_RESOURCE_NAME),
        )
