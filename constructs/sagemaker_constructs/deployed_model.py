"""The one question of an endpoint's stack: which model it serves."""

import jsii
from aws_cdk import (
    Aspects,
    CfnCondition,
    CfnParameter,
    CfnResource,
    CfnWaitConditionHandle,
    Fn,
    IAspect,
)
from constructs import Construct, IConstruct

PARAMETER = "ModelPackageArn"
NOTHING = "none"


class DeployedModel(Construct):
    """The parameter `ModelPackageArn`, whose default `none` is an endpoint that does not exist.

    CloudFormation makes no stack of nothing: a change set without a resource fails, and a stack
    that was never made cannot be updated. So a handle stands in for the endpoint that does not
    exist; it is a name in the stack and nothing outside of it.
    """

    model_package_arn: str
    """What to serve."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        parameter = CfnParameter(
            self,
            "Parameter",
            default=NOTHING,
            allowed_pattern=rf"{NOTHING}|arn:aws[a-z-]*:sagemaker:.+:model-package/.+",
            constraint_description=f"must be {NOTHING} or the ARN of a model package",
            description="Model package that the endpoint serves; none is no endpoint",
        )
        # Whoever deploys a model names the parameter, so its name is not CDK's to choose.
        parameter.override_logical_id(PARAMETER)
        self.model_package_arn = parameter.value_as_string
        self._deployed = CfnCondition(
            self,
            "Condition",
            expression=Fn.condition_not(Fn.condition_equals(self.model_package_arn, NOTHING)),
        )
        CfnWaitConditionHandle(self, "Handle")

    def bring(self, *constructs: Construct) -> None:
        """Let every resource of `constructs` exist only while there is a model to serve."""
        for construct in constructs:
            Aspects.of(construct).add(_OnlyWhen(self._deployed))


@jsii.implements(IAspect)
class _OnlyWhen:
    def __init__(self, condition: CfnCondition) -> None:
        self._condition = condition

    def visit(self, node: IConstruct) -> None:
        """Put the condition on `node` if it is a resource."""
        if isinstance(node, CfnResource):
            node.cfn_options.condition = self._condition
