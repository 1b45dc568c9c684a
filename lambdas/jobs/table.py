"""The job table: a row for each job whose task waits, and one for each endpoint in deployment.

A row of an unfinished job has a `status`, by which an index finds it: `starting` until SageMaker
knows the job, `training` from then on, `answering` while somebody tells its task. A finished one
has none.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

STATUS_INDEX = "by-status"

# Rows are of no use once nobody asks about the job any more.
_KEPT_SECONDS = 90 * 24 * 3600
# A function is ended long before this, so that nobody is at work on an older row.
BUSY_SECONDS = 90


class TakenError(Exception):
    """Another execution holds the row."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(str(row))
        self.row = row


@dataclass(frozen=True, slots=True)
class Job:
    """One row of a job."""

    name: str
    status: str | None
    token: str
    execution: str
    parameters: Mapping[str, Any]
    updated: int


class JobTable:
    """Reads and writes rows; every write says under which condition it still makes sense."""

    def __init__(self, dynamodb: "DynamoDBClient", name: str) -> None:
        self._dynamodb = dynamodb
        self._table = name

    def put(
        self, name: str, *, token: str, execution: str, parameters: Mapping[str, Any], now: int
    ) -> None:
        """Keep the token of a job that is about to be created; a retry replaces its own.

        Raises:
            TakenError: The row is another execution's.
        """
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "id": {"S": _job(name)},
                    "status": {"S": "starting"},
                    "token": {"S": token},
                    "execution": {"S": execution},
                    "parameters": {"S": json.dumps(parameters)},
                    "updated": {"N": str(now)},
                    "expires": {"N": str(now + _KEPT_SECONDS)},
                },
                ConditionExpression="attribute_not_exists(id) OR execution = :execution",
                ExpressionAttributeValues={":execution": {"S": execution}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            raise TakenError({"id": name}) from None

    def get(self, name: str) -> Job | None:
        """The row of a job."""
        item = self._dynamodb.get_item(
            TableName=self._table, Key={"id": {"S": _job(name)}}, ConsistentRead=True
        ).get("Item")
        if item is None:
            return None
        return Job(
            name=name,
            status=item["status"]["S"] if "status" in item else None,
            token=item["token"]["S"],
            execution=item["execution"]["S"],
            parameters=json.loads(item["parameters"]["S"]),
            updated=int(item["updated"]["N"]),
        )

    def begun(self, job: str, token: str, now: int) -> bool:
        """Note that SageMaker knows the job, unless it has ended already."""
        return self._update(
            job,
            "SET #status = :training, updated = :now",
            "#token = :token AND #status = :starting",
            {":training": "training", ":starting": "starting", ":token": token, ":now": now},
        )

    def claim(self, job: str, token: str, now: int) -> bool:
        """Take the answering of a task upon oneself; of several at once only one gets it.

        A claim that led to nothing can be taken over after `BUSY_SECONDS`.
        """
        return self._update(
            job,
            "SET #status = :answering, updated = :now",
            "#token = :token AND (#status IN (:starting, :training) OR "
            "(#status = :answering AND updated < :stale))",
            {
                ":answering": "answering",
                ":starting": "starting",
                ":training": "training",
                ":token": token,
                ":now": now,
                ":stale": now - BUSY_SECONDS,
            },
        )

    def finish(self, job: str, token: str, result: str, now: int) -> bool:
        """Note that the task was told, after which nobody looks at the row again."""
        return self._update(
            job,
            "SET #result = :result, updated = :now REMOVE #status",
            "#token = :token",
            {":result": result, ":token": token, ":now": now},
            {"#result": "result"},
        )

    def unfinished(self, now: int, starting_seconds: int = BUSY_SECONDS) -> Iterator[str]:
        """Names of the jobs that nobody is at work on.

        Whoever creates a job or answers a task is given time for it; a job that trains is nobody's.
        """
        pages = self._dynamodb.get_paginator("query")
        left_alone = {"starting": starting_seconds, "training": 0, "answering": BUSY_SECONDS + 1}
        for status, seconds in left_alone.items():
            for page in pages.paginate(
                TableName=self._table,
                IndexName=STATUS_INDEX,
                KeyConditionExpression="#status = :status AND updated <= :before",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={
                    ":status": {"S": status},
                    ":before": {"N": str(now - seconds)},
                },
            ):
                for item in page["Items"]:
                    yield item["id"]["S"].removeprefix("job#")

    def lock(self, endpoint: str, execution: str, now: int, until: int) -> str | None:
        """Take the deployment of an endpoint upon oneself.

        Returns:
            What was served before, when this execution has already noted it.

        Raises:
            TakenError: Another execution deploys it.
        """
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    "id": {"S": _endpoint(endpoint)},
                    "execution": {"S": execution},
                    "updated": {"N": str(now)},
                    "until": {"N": str(until)},
                    "expires": {"N": str(until)},
                },
                ConditionExpression="attribute_not_exists(id) OR #until < :now",
                ExpressionAttributeNames={"#until": "until"},
                ExpressionAttributeValues={":now": {"N": str(now)}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            row = self._dynamodb.get_item(
                TableName=self._table, Key={"id": {"S": _endpoint(endpoint)}}, ConsistentRead=True
            ).get("Item", {})
            owner = row.get("execution", {}).get("S")
            if owner != execution:
                raise TakenError({"id": endpoint, "execution": owner}) from None
            return row["previous"]["S"] if "previous" in row else None
        return None

    def note_previous(self, endpoint: str, execution: str, previous: str) -> None:
        """Remember what to return to, before anything is changed."""
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"id": {"S": _endpoint(endpoint)}},
            UpdateExpression="SET previous = :previous",
            ConditionExpression="execution = :execution",
            ExpressionAttributeValues={
                ":previous": {"S": previous},
                ":execution": {"S": execution},
            },
        )

    def keep_lock(self, endpoint: str, execution: str, until: int) -> None:
        """Hold the endpoint a while longer."""
        self._dynamodb.update_item(
            TableName=self._table,
            Key={"id": {"S": _endpoint(endpoint)}},
            UpdateExpression="SET #until = :until, expires = :until",
            ConditionExpression="execution = :execution",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={
                ":until": {"N": str(until)},
                ":execution": {"S": execution},
            },
        )

    def unlock(self, endpoint: str, execution: str) -> None:
        """Let the next deployment of the endpoint begin; harmless when it already has."""
        try:
            self._dynamodb.delete_item(
                TableName=self._table,
                Key={"id": {"S": _endpoint(endpoint)}},
                ConditionExpression="execution = :execution",
                ExpressionAttributeValues={":execution": {"S": execution}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return

    def _update(
        self,
        job: str,
        update: str,
        condition: str,
        values: Mapping[str, str | int],
        names: Mapping[str, str] | None = None,
    ) -> bool:
        """Write when the condition holds; whether it did."""
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key={"id": {"S": _job(job)}},
                UpdateExpression=update,
                ConditionExpression=condition,
                # Words that DynamoDB keeps for itself.
                ExpressionAttributeNames={
                    "#token": "token",
                    "#status": "status",
                    **(names or {}),
                },
                ExpressionAttributeValues={
                    name: {"N": str(value)} if isinstance(value, int) else {"S": value}
                    for name, value in values.items()
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _job(name: str) -> str:
    return f"job#{name}"


def _endpoint(name: str) -> str:
    return f"endpoint#{name}"
