"""Tell the topic how an execution ended."""

import os
from collections.abc import Mapping
from typing import Any

from jobs import report
from jobs.clients import client
from jobs.log import decided
from jobs.settings import required

TOPIC = required(os.environ, "TOPIC_ARN")
REGION = required(os.environ, "AWS_REGION")


def lambda_handler(event: dict[str, Any], context: object) -> Mapping[str, Any]:
    """Publish what was made, or why it failed; a repeated call tells it twice, and no more."""
    state = event["state"]
    told = report.success if event["outcome"] == "success" else report.failure
    message = told(state, REGION)
    client("sns").publish(TopicArn=TOPIC, Subject=message.subject, Message=message.body)
    decided("told", execution=state["execution"], outcome=event["outcome"])
    return message.output
