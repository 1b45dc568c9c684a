"""Tell the topic at once that a quota was hit, and how to ask for more."""

import os
import time
from typing import Any

from common.clients import client
from common.log import decided
from common.settings import required
from quotas import refusals
from quotas.told import Told

ENVIRONMENT = required(os.environ, "ENVIRONMENT_NAME")
REGION = required(os.environ, "AWS_REGION")
TABLE = required(os.environ, "TOLD_TABLE")
TOPIC = required(os.environ, "TOPIC_ARN")


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, bool]:
    """Whether the topic was told.

    A quota that the same asker hits again is told once an hour: the table holds who was told of
    what. Whoever is killed between claiming it and telling leaves a claim that ends before the
    event is delivered again, so that a message may come twice and is never lost.
    """
    asked = refusals.asked(event)
    if asked is None:
        decided("no quota", event=event["detail-type"], id=event.get("id"))
        return {"told": False}
    told, subject = Told(client("dynamodb"), TABLE), refusals.subject_of(asked)
    now = int(time.time())
    if not told.claim(subject, now):
        decided("told already", subject=subject)
        return {"told": False}
    message = refusals.message(asked, environment=ENVIRONMENT, region=REGION)
    try:
        client("sns").publish(TopicArn=TOPIC, Subject=message.subject, Message=message.body)
    except Exception:
        told.release(subject)
        raise
    told.keep(subject, now)
    decided("told", subject=subject)
    return {"told": True}
