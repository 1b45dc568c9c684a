import json
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import Server, eventually

STACK = "cfn-encryption"
TABLE: dict[str, Any] = {
    "Type": "AWS::DynamoDB::Table",
    "Properties": {
        "TableName": STACK,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
    },
}


def template(key: str | None) -> str:
    table = {"SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key}}
    return json.dumps(
        {
            "Resources": {
                "Table": {**TABLE, "Properties": TABLE["Properties"] | (table if key else {})},
                "Topic": {
                    "Type": "AWS::SNS::Topic",
                    "Properties": {"TopicName": STACK, "DisplayName": str(key)}
                    | ({"KmsMasterKeyId": key} if key else {}),
                },
            }
        }
    )


def settled(server: Server) -> str:
    def status() -> str:
        stacks = server.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        return str(stacks[0]["StackStatus"])

    return str(eventually(status, lambda found: not found.endswith("_PROGRESS")))


def keys(server: Server) -> tuple[str | None, str | None]:
    """The keys of table and topic."""
    table = server.client("dynamodb").describe_table(TableName=STACK)["Table"]
    sns = server.client("sns")
    (topic,) = (t["TopicArn"] for t in sns.list_topics()["Topics"] if STACK in t["TopicArn"])
    return (
        (table.get("SSEDescription") or {}).get("KMSMasterKeyArn"),
        sns.get_topic_attributes(TopicArn=topic)["Attributes"].get("KmsMasterKeyId"),
    )


@pytest.fixture
def key(server: Server) -> Iterator[str]:
    yield server.client("kms").create_key()["KeyMetadata"]["Arn"]
    server.client("cloudformation").delete_stack(StackName=STACK)


def test_tables_and_topics_get_the_key_of_their_template(server: Server, key: str) -> None:
    cloudformation = server.client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=template(key))
    assert settled(server) == "CREATE_COMPLETE"
    assert keys(server) == (key, key)
    cloudformation.update_stack(StackName=STACK, TemplateBody=template(None))
    assert settled(server) == "UPDATE_COMPLETE"
    assert keys(server) == (None, None)
