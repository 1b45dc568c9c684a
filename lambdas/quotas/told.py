"""The table of who was told of what, so that nobody is told twice within a while."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SILENT_SECONDS = 3600
"""How long the same is not told again."""

# EventBridge's failed invocations are tried again after a minute; by then a claim is over.
_CLAIM_SECONDS = 45


class Told:
    """A row for each thing that was told, until it may be told again."""

    def __init__(self, dynamodb: "DynamoDBClient", name: str) -> None:
        self._dynamodb = dynamodb
        self._table = name

    def claim(self, subject: str, now: int) -> bool:
        """Take it upon oneself to tell of `subject`; False when that was or is being done."""
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=_row(subject, now + _CLAIM_SECONDS),
                # A row is deleted days after its time, so that its time is what counts.
                ConditionExpression="attribute_not_exists(id) OR expires <= :now",
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def keep(self, subject: str, now: int) -> None:
        """Note that it was told."""
        self._dynamodb.put_item(TableName=self._table, Item=_row(subject, now + SILENT_SECONDS))

    def release(self, subject: str) -> None:
        """Let the next one tell it at once, since this one could not."""
        self._dynamodb.delete_item(TableName=self._table, Key={"id": {"S": subject}})


def _row(subject: str, until: int) -> dict[str, dict[str, str]]:
    return {"id": {"S": subject}, "expires": {"N": str(until)}}
