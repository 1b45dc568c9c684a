"""Who is told of what, and how long is remembered what happened."""

from pathlib import Path

from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from environments.model import Environment
from sagemaker_constructs.shared_logs import SharedLogs
from sagemaker_constructs.topic import AlertTopic
from stacks.platform import PlatformStack


class GovernanceStack(PlatformStack):
    """The topic where everything worth knowing ends, and the retention of SageMaker's logs."""

    topic: sns.ITopic

    def __init__(
        self,
        scope: Construct,
        *,
        config: Environment,
        key: kms.IKey,
        functions: Path,
        architecture: lambda_.Architecture,
    ) -> None:
        super().__init__(scope, "governance", config=config)
        alerts = AlertTopic(self, "Alerts", key=key)
        if config.governance.alert_email:
            alerts.tell(config.governance.alert_email)
        self.topic = alerts.topic
        SharedLogs(
            self,
            "SharedLogs",
            endpoint_names=[config.resource_name(name) for name in config.endpoints],
            days=config.governance.log_retention_days,
            code_path=functions,
            architecture=architecture,
            key=key,
        )
        self.publish("TopicArn", "governance/topic-arn", self.topic.topic_arn)
