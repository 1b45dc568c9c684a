"""Who may change an endpoint."""

from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from sagemaker_constructs import conditions
from sagemaker_constructs.conditions import ENDPOINT_TAG
from sagemaker_constructs.containers import encrypt_disks
from sagemaker_constructs.endpoint import DIMENSION, NAMESPACE, has_local_storage
from sagemaker_constructs.endpoint_alarms import alarm_names
from sagemaker_constructs.private_network import Placement
from sagemaker_constructs.spelling import spellings
from sagemaker_constructs.wildcards import acknowledge_wildcards

SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
SCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"

_OWN_SCALING = {
    "application-autoscaling:service-namespace": NAMESPACE,
    "application-autoscaling:scalable-dimension": DIMENSION,
}


class EndpointStackRole(Construct):
    """The role that CloudFormation acts with to change one endpoint's stack.

    Whoever may update a stack acts with its role, so this one may touch nothing but what its own
    endpoint is made of, and may hand SageMaker no other role than `inference_role`. It belongs into
    another stack than the endpoint's: it must exist first, and what can change the endpoint must
    not be able to change it.

    The endpoint has a name. Models, configurations and scalable targets are named by AWS, so they
    are told by the tag `ENDPOINT_TAG`: what is created must bring it, what is changed must have it,
    and it can be given only to what is being created.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        role_name: Name of the role, by which the endpoint's stack knows it before it exists.
        endpoint_name: Name of the endpoint in SageMaker, and value of its tag.
        stack_name: Name of the endpoint's stack.
        upstream_stacks: Names of the stacks whose outputs the endpoint's stack reads.
        model_package_groups: Names of the groups whose models the endpoint may serve.
        inference_role: Role that SageMaker acts with for the endpoint.
        key: Key of the instances' disks.
        instance_type: Instance type of the endpoint, and no other.
        placement: Where in a VPC the endpoint runs, if it does.
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
        instance_type: str,
        placement: Placement | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._name = endpoint_name
        self._endpoints = [
            self._arn("sagemaker", "endpoint", one) for one in spellings([endpoint_name])
        ]
        self._config = self._arn("sagemaker", "endpoint-config", "*")
        self._model = self._arn("sagemaker", "model", "*")
        self._packages = [
            self._arn("sagemaker", "model-package", f"{group}/*")
            for group in spellings(model_package_groups)
        ]
        self._alarms = [
            self._arn("cloudwatch", "alarm", name, colon=True)
            for name in (alarm_names(stack_name), f"TargetTracking-endpoint/{endpoint_name}/*")
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
                "sagemaker": iam.PolicyDocument(
                    statements=[
                        *self._models(placement),
                        *self._configurations(key, instance_type, placement),
                        *self._serving(inference_role, key),
                        *self._tagging(),
                    ]
                ),
                "operations": iam.PolicyDocument(statements=[*self._scaling(), *self._operating()]),
            },
        )
        acknowledge_wildcards(
            self.role,
            {
                "*": "Describing alarms and scaling cannot be told by resource.",
                self._model: "CloudFormation names models; those of the endpoint have its tag.",
                self._config: "CloudFormation names them; those of the endpoint have its tag.",
                **dict.fromkeys(self._packages, "Any version of a group may be served."),
                **dict.fromkeys(self._alarms, "AWS appends an id to the endpoint's name."),
                self._targets: "AWS names scalable targets; that of the endpoint has its tag.",
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

    def _models(self, placement: Placement | None) -> list[iam.PolicyStatement]:
        return [
            _statement(
                "CreateModel",
                ["sagemaker:CreateModel"],
                [self._model],
                conditions.merged(
                    self._brings_tag(), conditions.isolated(), conditions.within(placement)
                ),
            ),
            _statement(
                "DeleteModelAndConfiguration",
                ["sagemaker:DeleteEndpointConfig", "sagemaker:DeleteModel"],
                [self._config, self._model],
                self._has_tag(),
            ),
            _statement(
                "SeeModelAndConfiguration",
                [
                    "sagemaker:DescribeEndpointConfig",
                    "sagemaker:DescribeModel",
                    "sagemaker:ListTags",
                ],
                [self._config, self._model],
                # What is gone has no tag, and CloudFormation asks until it is.
                {"StringEqualsIfExists": {f"aws:ResourceTag/{ENDPOINT_TAG}": self._name}},
            ),
        ]

    def _configurations(
        self, key: kms.IKey, instance_type: str, placement: Placement | None
    ) -> list[iam.PolicyStatement]:
        own_disks = has_local_storage(instance_type)
        return [
            _statement(
                "CreateConfiguration",
                ["sagemaker:CreateEndpointConfig"],
                [self._config],
                conditions.merged(
                    self._brings_tag(),
                    conditions.on([instance_type]),
                    {} if own_disks else {"ArnEquals": {"sagemaker:VolumeKmsKeyArn": key.key_arn}},
                ),
            ),
            _statement(
                # Creating and updating an endpoint are authorized on its configuration as well.
                "UseConfiguration",
                ["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"],
                [self._config],
                self._has_tag(),
            ),
        ]

    def _serving(self, inference_role: iam.IRole, key: kms.IKey) -> list[iam.PolicyStatement]:
        return [
            _statement(
                "Endpoint",
                [
                    "sagemaker:CreateEndpoint",
                    "sagemaker:DeleteEndpoint",
                    "sagemaker:DescribeEndpoint",
                    "sagemaker:ListTags",
                    "sagemaker:UpdateEndpoint",
                    "sagemaker:UpdateEndpointWeightsAndCapacities",
                ],
                self._endpoints,
            ),
            _statement("ReadPackage", ["sagemaker:DescribeModelPackage"], self._packages),
            encrypt_disks(key),
            _statement("FindKey", ["kms:DescribeKey"], [key.key_arn]),
            _statement(
                "HandRoleToSageMaker",
                ["iam:PassRole"],
                [inference_role.role_arn],
                {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
        ]

    def _tagging(self) -> list[iam.PolicyStatement]:
        everything = [*self._endpoints, self._config, self._model]
        return [
            _statement(
                # SageMaker names the operation that creates; AddTags itself has none.
                "TagWhatIsNew",
                ["sagemaker:AddTags"],
                everything,
                conditions.merged(
                    self._brings_tag(), {"Null": {"sagemaker:TaggingAction": "false"}}
                ),
            ),
            _statement(
                "TagOwn",
                ["sagemaker:AddTags"],
                everything,
                conditions.merged(self._has_tag(), self._keeps_tag()),
            ),
            _statement(
                "UntagOwn",
                ["sagemaker:DeleteTags"],
                everything,
                conditions.merged(self._has_tag(), _leaves_tag()),
            ),
        ]

    def _scaling(self) -> list[iam.PolicyStatement]:
        own = f"aws:ResourceTag/{ENDPOINT_TAG}"
        return [
            _statement(
                "NewTarget",
                [
                    "application-autoscaling:RegisterScalableTarget",
                    "application-autoscaling:TagResource",
                ],
                [self._targets],
                # A target that is there already, and has another's tag, is not new.
                conditions.merged(
                    self._brings_tag(),
                    {"StringEqualsIfExists": {own: self._name, **_OWN_SCALING}},
                ),
            ),
            _statement(
                "OwnTarget",
                [
                    "application-autoscaling:DeleteScalingPolicy",
                    "application-autoscaling:DeregisterScalableTarget",
                    "application-autoscaling:PutScalingPolicy",
                    "application-autoscaling:RegisterScalableTarget",
                ],
                [self._targets],
                conditions.merged(self._has_tag(), {"StringEquals": _OWN_SCALING}),
            ),
            _statement(
                "TagOwnTarget",
                [
                    "application-autoscaling:ListTagsForResource",
                    "application-autoscaling:TagResource",
                ],
                [self._targets],
                conditions.merged(self._has_tag(), self._keeps_tag()),
            ),
            _statement(
                "UntagOwnTarget",
                ["application-autoscaling:UntagResource"],
                [self._targets],
                conditions.merged(self._has_tag(), _leaves_tag()),
            ),
        ]

    def _operating(self) -> list[iam.PolicyStatement]:
        return [
            _statement(
                "Alarms",
                [
                    "cloudwatch:DeleteAlarms",
                    "cloudwatch:ListTagsForResource",
                    "cloudwatch:PutMetricAlarm",
                    "cloudwatch:TagResource",
                    "cloudwatch:UntagResource",
                ],
                self._alarms,
            ),
            _statement(
                "Describe",
                [
                    "application-autoscaling:DescribeScalableTargets",
                    "application-autoscaling:DescribeScalingPolicies",
                    "cloudwatch:DescribeAlarms",
                ],
                ["*"],
            ),
            _statement(
                "FirstScalingOfTheAccount",
                ["iam:CreateServiceLinkedRole"],
                [
                    Stack.of(self).format_arn(
                        service="iam",
                        region="",
                        resource="role",
                        resource_name=f"aws-service-role/{SCALING_SERVICE}/{SCALING_ROLE}",
                    )
                ],
                {"StringEquals": {"iam:AWSServiceName": SCALING_SERVICE}},
            ),
            _statement("ReadUpstreamOutputs", ["cloudformation:DescribeStacks"], self._upstream),
        ]

    def _brings_tag(self) -> conditions.Conditions:
        """The request gives the endpoint's tag."""
        return {"StringEquals": {f"aws:RequestTag/{ENDPOINT_TAG}": self._name}}

    def _has_tag(self) -> conditions.Conditions:
        """What is touched has the endpoint's tag."""
        return {"StringEquals": {f"aws:ResourceTag/{ENDPOINT_TAG}": self._name}}

    def _keeps_tag(self) -> conditions.Conditions:
        """The request gives no other endpoint's tag."""
        return {"StringEqualsIfExists": {f"aws:RequestTag/{ENDPOINT_TAG}": self._name}}

    def _arn(self, service: str, resource: str, name: str, *, colon: bool = False) -> str:
        return Stack.of(self).format_arn(
            service=service,
            resource=resource,
            resource_name=name,
            arn_format=(ArnFormat.COLON_RESOURCE_NAME if colon else ArnFormat.SLASH_RESOURCE_NAME),
        )


def _leaves_tag() -> conditions.Conditions:
    """The request takes the tag of the endpoint away from nothing."""
    return {"ForAllValues:StringNotEquals": {"aws:TagKeys": [ENDPOINT_TAG]}}


def _statement(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    when: Mapping[str, Mapping[str, Any]] | None = None,
) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        sid=sid,
        actions=list(actions),
        resources=list(resources),
        conditions=dict(when) if when else None,
    )
