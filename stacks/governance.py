"""Who is told of what, and how long is remembered what happened."""

from pathlib import Path

from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from environments.model import PREFIX, Environment
from quotas import table
from sagemaker_constructs.quota_alerts import QuotaAlerts
from sagemaker_constructs.retention import RETENTION
from sagemaker_constructs.shared_logs import SharedLogs
from sagemaker_constructs.topic import AlertTopic
from stacks.platform import PlatformStack


class GovernanceStack(PlatformStack):
    """The topic where everything worth knowing ends, quota alerts, and how long logs are kept."""

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
        QuotaAlerts(
            self,
            "Quotas",
            environment_name=config.name,
            prefix=f"{PREFIX}-{config.name}",
            quotas={name: table.codes()[name] for name in _quotas(config)},
            percent=config.governance.quota_alert_percent,
            topic=self.topic,
            code_path=functions,
            architecture=architecture,
            key=key,
            log_retention=RETENTION[config.governance.log_retention_days],
        )
        self.publish("TopicArn", "governance/topic-arn", self.topic.topic_arn)


def _quotas(config: Environment) -> list[str]:
    """Names of the quotas that count what the environment may start, the totals among them."""
    used: dict[table.Use, set[str]] = {
        "training": {*config.training.instance_types, *config.training.other_instance_types},
        "endpoint": {endpoint.instance_type for endpoint in config.endpoints.values()},
        "notebook": {notebook.instance_type for notebook in config.notebooks.values()},
    }
    return [
        name
        for use, types in used.items()
        if types
        for name in (*(table.of_type(use, one) for one in sorted(types)), table.TOTAL[use])
    ]
