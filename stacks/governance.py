"""Who is told of what, and how long is remembered what happened."""

from pathlib import Path

from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from environments.model import Environment
from sagemaker_constructs.topic import AlertTopic
from stacks.platform import PlatformStack


class GovernanceStack(PlatformStack):
    """The topic where everything worth knowing ends, and the retention of SageMaker's logs."""

    topic: sns.ITopic

    def __init__(
        self, scope: Construct, *, config: Environment, key: kms.IKey, functions: Path
    ) -> None:
        super().__init__(scope, "governance", config=config)
        alerts = AlertTopic(self, "Alerts", key=key)
        if config.governance.alert_email:
            alerts.tell(config.governance.alert_email)
        self.topic = alerts.topic
        self.publish("TopicArn", "governance/topic-arn", self.topic.topic_arn)
