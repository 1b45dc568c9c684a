"""When an endpoint does badly."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from sagemaker_constructs.endpoint import VARIANT

ALARMS = "Alarms"
"""Id of the alarms within the endpoint's stack, with which CloudFormation begins their names."""


def alarm_names(stack_name: str) -> str:
    """What the names of a stack's alarms match, and those of no stack whose name goes on."""
    return f"{stack_name}-{ALARMS}*"


class EndpointAlarms(Construct):
    """Three alarms of one endpoint: it fails, its model fails, its model is slow."""

    alarms: list[cloudwatch.Alarm]
    """All of them, for a deployment to roll back on."""

    def __init__(self, scope: Construct, id: str, *, endpoint_name: str, latency: Duration) -> None:
        super().__init__(scope, id)
        self._endpoint_name = endpoint_name
        microseconds = latency.to_milliseconds() * 1000
        self.alarms = [
            self._alarm(
                "ServerErrors",
                "Invocation5XXErrors",
                "Sum",
                1,
                f"{endpoint_name} answers with 5xx: see its log group for the request",
            ),
            self._alarm(
                "ModelErrors",
                "InvocationModelErrors",
                "Sum",
                1,
                f"The model of {endpoint_name} fails: see its log group for the traceback",
            ),
            self._alarm(
                "Latency",
                "ModelLatency",
                "p99",
                microseconds,
                f"The model of {endpoint_name} is slower than {latency.to_milliseconds():.0f} ms "
                "for one request in a hundred",
            ),
        ]

    def _alarm(
        self, id: str, metric: str, statistic: str, threshold: float, description: str
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id,
            alarm_description=description,
            metric=cloudwatch.Metric(
                namespace="AWS/SageMaker",
                metric_name=metric,
                statistic=statistic,
                period=Duration.minutes(1),
                dimensions_map={"EndpointName": self._endpoint_name, "VariantName": VARIANT},
            ),
            threshold=threshold,
            comparison_operator=(cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD),
            # Two bad minutes of five: one unlucky request neither wakes anyone nor rolls back.
            evaluation_periods=5,
            datapoints_to_alarm=2,
            # An endpoint without traffic is well.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def tell(self, topic: sns.ITopic) -> None:
        """Publish to `topic` when an alarm begins and when it ends."""
        for alarm in self.alarms:
            alarm.add_alarm_action(actions.SnsAction(topic))
            alarm.add_ok_action(actions.SnsAction(topic))
