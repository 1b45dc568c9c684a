"""Tell the topic how an execution ended."""

import os
from collections.abc import Mapping
from typing import Any

from common import quota_event
from common.clients import client
from common.log import decided
from common.settings import required
from jobs import report

TOPIC = required(os.environ, "TOPIC_ARN")
ENVIRONMENT = required(os.environ, "ENVIRONMENT_NAME")
REGION = required(os.environ, "AWS_REGION")


def lambda_handler(event: dict[str, Any], context: object) -> Mapping[str, Any]:
    """Publish what was made, or why it failed; a repeated call tells it twice, and no more.

    Where a quota was hit, an event says so too, for whoever tells how to ask for more.
    """
    state = event["state"]
    told = report.success if event["outcome"] == "success" else report.failure
    message = told(state, REGION)
    client("sns").publish(TopicArn=TOPIC, Subject=message.subject, Message=message.body)
    decided("told", execution=state["execution"], outcome=event["outcome"])
    refusal = report.refused_by_quota(state)
    if refusal:
        quota_event.send(client("events"), environment=ENVIRONMENT, **refusal)
    return message.output
