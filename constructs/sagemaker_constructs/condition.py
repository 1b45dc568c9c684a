"""One condition on all that a construct is made of."""

import jsii
from aws_cdk import CfnCondition, CfnResource, IAspect
from constructs import IConstruct


@jsii.implements(IAspect)
class OnlyWhen:
    """An aspect that makes every resource below it depend on one condition."""

    def __init__(self, condition: CfnCondition) -> None:
        self._condition = condition

    def visit(self, node: IConstruct) -> None:
        """Put the condition on `node` if it is a resource."""
        if CfnResource.is_cfn_resource(node):
            node.cfn_options.condition = self._condition
