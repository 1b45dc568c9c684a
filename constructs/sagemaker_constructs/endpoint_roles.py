"""Who may run an endpoint, and who may change it."""

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from sagemaker_constructs.wildcards import acknowledge_wildcards

LOG_GROUPS = "/aws/sagemaker/Endpoints"
METRICS = "/aws/sagemaker/Endpoints"
CAPTURE = "capture"
SCALING_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"


class EndpointRoles(Construct):
    """Two roles of one endpoint, which exist before its stack does.

    `inference_role` is what the containers' host acts with. `stack_role` is what CloudFormation
    acts with when it changes the endpoint's stack, whoever asked for the change: whoever may update
    a stack acts with its role, so this one may touch nothing but what an endpoint is made of, and
    may hand SageMaker no other role than `inference_role`. Both live outside the endpoint's stack,
    so that nothing that can change the stack can change them.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        endpoint_name: Name of the endpoint in SageMaker.
        stack_name: Name of the stack that holds the endpoint.
        stack_role_name: Name of `stack_role`; the stack must know it before it exists.
        upstream_stacks: Names of the stacks whose outputs the endpoint's stack reads.
        model_package_groups: Names of the groups whose models the endpoint may serve.
        data: Bucket for captured requests, under `capture/`.
        models: Bucket of the models, under `jobs/`.
        key: Key of both buckets and of the instances' disks.
        repositories: ARNs of the ECR repositories whose images may serve.
    """

    inference_role: iam.Role
    """What SageMaker acts with to serve."""

    stack_role: iam.Role
    """What CloudFormation acts with to change the endpoint's stack."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoint_name: str,
        stack_name: str,
        stack_role_name: str,
        upstream_stacks: Sequence[str],
        model_package_groups: Sequence[str],
        data: s3.IBucket,
        models: s3.IBucket,
        key: kms.IKey,
        repositories: Sequence[str],
    ) -> None:
        super().__init__(scope, id)
        self.inference_role = iam.Role(
            self,
            "Inference",
            assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"),
            description=f"SageMaker acts with it to serve {endpoint_name}",
            inline_policies={
                "serve": iam.PolicyDocument(
                    statements=self._serving(endpoint_name, data, models, key, repositories)
                )
            },
        )
        self.stack_role = iam.Role(
            self,
            "Stack",
            role_name=stack_role_name,
            assumed_by=iam.ServicePrincipal("cloudformation.amazonaws.com"),
            description=f"CloudFormation acts with it to change {stack_name}",
            inline_policies={
                "sagemaker": iam.PolicyDocument(
                    statements=self._sagemaker(endpoint_name, model_package_groups, key)
                ),
                "watch-and-scale": iam.PolicyDocument(
                    statements=self._watching(endpoint_name, stack_name, upstream_stacks)
                ),
            },
        )

        acknowledge_wildcards(
            self,
            {
                "*": "Reading alarms and scaling, logging in to registries and writing metrics "
                "cannot be told by resource; the metrics are by namespace.",
                models.arn_for_objects("jobs/*"): "Any model of the environment can be deployed.",
                data.arn_for_objects(f"{CAPTURE}/{endpoint_name}/*"): "The endpoint's own prefix.",
                f"{self._log_group(endpoint_name)}:*": "The streams of one log group.",
                **{
                    repository: "All repositories of one environment."
                    for repository in repositories
                    if "*" in repository
                },
                **{
                    self._arn("sagemaker", kind, "*"): "CloudFormation names them, at random."
                    for kind in ("model", "endpoint-config")
                },
                **{
                    self._arn("sagemaker", "model-package", f"{group}/*"): "Versions of one model."
                    for group in model_package_groups
                },
                **dict.fromkeys(
                    self._alarms(endpoint_name, stack_name),
                    "CloudFormation and scaling add to the endpoint's name at random.",
                ),
                self._arn("application-autoscaling", "scalable-target", "*"): "AWS names them.",
                self._scaling_role(): "The only role of that path, as AWS documents it.",
                **{
                    self._arn("cloudformation", "stack", f"{name}/*"): "CloudFormation adds an id."
                    for name in upstream_stacks
                },
            },
        )

    def _serving(
        self,
        endpoint_name: str,
        data: s3.IBucket,
        models: s3.IBucket,
        key: kms.IKey,
        repositories: Sequence[str],
    ) -> list[iam.PolicyStatement]:
        log_group = self._log_group(endpoint_name)
        return [
            iam.PolicyStatement(
                sid="ReadModel",
                actions=["s3:GetObject"],
                resources=[models.arn_for_objects("jobs/*")],
            ),
            iam.PolicyStatement(
                sid="DecryptModel", actions=["kms:Decrypt"], resources=[key.key_arn]
            ),
            iam.PolicyStatement(
                sid="CaptureRequests",
                actions=["s3:PutObject"],
                resources=[data.arn_for_objects(f"{CAPTURE}/{endpoint_name}/*")],
            ),
            iam.PolicyStatement(
                sid="EncryptCapture", actions=["kms:GenerateDataKey"], resources=[key.key_arn]
            ),
            iam.PolicyStatement(
                sid="WriteLogs",
                actions=[
                    "logs:CreateLogGroup",
                    "logs:CreateLogStream",
                    "logs:DescribeLogStreams",
                    "logs:PutLogEvents",
                ],
                resources=[log_group, f"{log_group}:*"],
            ),
            iam.PolicyStatement(
                sid="WriteMetrics",
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringEquals": {"cloudwatch:namespace": METRICS}},
            ),
            iam.PolicyStatement(
                sid="LogInToRegistries", actions=["ecr:GetAuthorizationToken"], resources=["*"]
            ),
            iam.PolicyStatement(
                sid="PullImages",
                actions=[
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
                resources=[*repositories],
            ),
        ]

    def _sagemaker(
        self, endpoint_name: str, groups: Sequence[str], key: kms.IKey
    ) -> list[iam.PolicyStatement]:
        endpoint = self._arn("sagemaker", "endpoint", endpoint_name)
        # Models and configurations get their names from CloudFormation, so these cannot be told
        # by name. They cost nothing and serve nothing without an endpoint.
        parts = [self._arn("sagemaker", kind, "*") for kind in ("model", "endpoint-config")]
        return [
            iam.PolicyStatement(
                sid="ModelAndConfiguration",
                actions=[
                    f"sagemaker:{verb}{kind}"
                    for kind in ("EndpointConfig", "Model")
                    for verb in ("Create", "Delete", "Describe")
                ],
                resources=parts,
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
                resources=[endpoint, parts[1]],
            ),
            iam.PolicyStatement(
                sid="Tags",
                actions=["sagemaker:AddTags", "sagemaker:DeleteTags", "sagemaker:ListTags"],
                resources=[endpoint, *parts],
            ),
            iam.PolicyStatement(
                sid="ReadPackage",
                actions=["sagemaker:DescribeModelPackage"],
                resources=[self._arn("sagemaker", "model-package", f"{g}/*") for g in groups],
            ),
            iam.PolicyStatement(
                sid="EncryptDisks",
                actions=["kms:CreateGrant", "kms:DescribeKey"],
                resources=[key.key_arn],
            ),
            iam.PolicyStatement(
                sid="HandRoleToSageMaker",
                actions=["iam:PassRole"],
                resources=[self.inference_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            ),
        ]

    def _watching(
        self, endpoint_name: str, stack_name: str, upstream_stacks: Sequence[str]
    ) -> list[iam.PolicyStatement]:
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
                resources=self._alarms(endpoint_name, stack_name),
            ),
            iam.PolicyStatement(
                sid="ReadAlarms", actions=["cloudwatch:DescribeAlarms"], resources=["*"]
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
                resources=[self._arn("application-autoscaling", "scalable-target", "*")],
            ),
            iam.PolicyStatement(
                sid="ReadScaling",
                actions=[
                    "application-autoscaling:DescribeScalableTargets",
                    "application-autoscaling:DescribeScalingPolicies",
                ],
                resources=["*"],
            ),
            iam.PolicyStatement(
                sid="FirstScalingOfTheAccount",
                actions=["iam:CreateServiceLinkedRole"],
                resources=[self._scaling_role()],
                conditions={"StringEquals": {"iam:AWSServiceName": SCALING_SERVICE}},
            ),
            iam.PolicyStatement(
                sid="ReadUpstreamOutputs",
                actions=["cloudformation:DescribeStacks"],
                resources=[
                    self._arn("cloudformation", "stack", f"{name}/*") for name in upstream_stacks
                ],
            ),
        ]

    def _log_group(self, endpoint_name: str) -> str:
        return self._arn("logs", "log-group", f"{LOG_GROUPS}/{endpoint_name}", colon=True)

    def _alarms(self, endpoint_name: str, stack_name: str) -> list[str]:
        prefixes = (f"{stack_name}-", f"TargetTracking-endpoint/{endpoint_name}/")
        return [self._arn("cloudwatch", "alarm", f"{p}*", colon=True) for p in prefixes]

    def _scaling_role(self) -> str:
        return Stack.of(self).format_arn(
            service="iam",
            region="",
            resource="role",
            resource_name=f"aws-service-role/{SCALING_SERVICE}/*",
        )

    def _arn(self, service: str, resource: str, name: str, *, colon: bool = False) -> str:
        return Stack.of(self).format_arn(
            service=service,
            resource=resource,
            resource_name=name,
            arn_format=(ArnFormat.COLON_RESOURCE_NAME if colon else ArnFormat.SLASH_RESOURCE_NAME),
        )

    def let_deploy(self, deploy_role: iam.IRole) -> None:
        """Let the deploy role of `cdk bootstrap` give the stack its role, and no other service.

        Bootstrap lets that role pass CloudFormation one role alone, which may do everything; each
        further role has to be named.
        """
        iam.Policy(
            self,
            "Deploy",
            roles=[deploy_role],
            statements=[
                iam.PolicyStatement(
                    sid="HandRoleToCloudFormation",
                    actions=["iam:PassRole"],
                    resources=[self.stack_role.role_arn],
                    conditions={
                        "StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}
                    },
                )
            ],
        )
