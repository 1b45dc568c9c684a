"""What runs against a platform that is killed: each actor knows what was acknowledged.

A call that the kill cut off may have happened or not, so each actor keeps the one call it has in
hand, and takes for the truth what it finds afterwards; a third thing is an error.
"""

import hashlib
import io
import json
import random
import zipfile
from abc import ABC, abstractmethod
from typing import Any

from tests.platform import LocalPlatform

FUNCTION = "import os\n\ndef handler(event, context):\n    return os.environ['VALUE']\n"


class Actor(ABC):
    """One user of the platform, who does one thing after the other."""

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        self.platform = platform
        self.name = name

    @abstractmethod
    def act(self, chance: random.Random) -> None:
        """Do one thing; raises whatever the kill makes of it."""

    @abstractmethod
    def verify(self) -> None:
        """All that was acknowledged is there, and nothing is half-made."""


class Mapping(Actor):
    """Puts and deletes values under a few keys."""

    keys = 8

    def __init__(self, platform: LocalPlatform, name: str) -> None:
        super().__init__(platform, name)
        self.known: dict[str, Any] = {}
        self.in_hand: tuple[str, Any] | None = None
        self.make()

    def act(self, chance: random.Random) -> None:
        key = f"{self.name}-{chance.randrange(self.keys)}"
        value = None if key in self.known and chance.random() < 0.3 else self.value(chance)
        self.in_hand = key, value
        if value is None:
            self.delete(key)
        else:
            self.put(key, value)
        self._settle(key, value)

    def verify(self) -> None:
        found = self.found()
        if self.in_hand is not None:
            key, wanted = self.in_hand
            assert found.get(key) in (self.known.get(key), wanted), (key, self.in_hand, found)
            self._settle(key, found.get(key))
        assert found == self.known

    def _settle(self, key: str, value: Any) -> None:
        self.in_hand = None
        if value is None:
            self.known.pop(key, None)
        else:
            self.known[key] = value

    @abstractmethod
    def make(self) -> None: ...

    @abstractmethod
    def value(self, chance: random.Random) -> Any: ...

    @abstractmethod
    def put(self, key: str, value: Any) -> None: ...

    @abstractmethod
    def delete(self, key: str) -> None: ...

    @abstractmethod
    def found(self) -> dict[str, Any]: ...


class Objects(Mapping):
    """Objects of a versioned bucket, short and long."""

    def make(self) -> None:
        self.s3 = self.platform.client("s3")
        self.contents: dict[str, bytes] = {}
        self.s3.create_bucket(Bucket=self.name)
        self.s3.put_bucket_versioning(
            Bucket=self.name, VersioningConfiguration={"Status": "Enabled"}
        )

    def value(self, chance: random.Random) -> Any:
        content = chance.randbytes(chance.choice((0, 40, 3_000, 120_000)))
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self.contents[digest] = content
        return digest

    def put(self, key: str, value: Any) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=self.contents[value])

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.name, Key=key)

    def found(self) -> dict[str, Any]:
        listed = self.s3.list_objects_v2(Bucket=self.name).get("Contents", [])
        for one in listed:
            content = self.s3.get_object(Bucket=self.name, Key=one["Key"])["Body"].read()
            assert hashlib.md5(content, usedforsecurity=False).hexdigest() == one["ETag"].strip('"')
        return {one["Key"]: one["ETag"].strip('"') for one in listed}


class Parameters(Mapping):
    """Parameters of SSM."""

    def make(self) -> None:
        self.ssm = self.platform.client("ssm")

    def value(self, chance: random.Random) -> Any:
        return str(chance.random())

    def put(self, key: str, value: Any) -> None:
        self.ssm.put_parameter(
            Name=f"/{self.name}/{key}", Value=value, Type="String", Overwrite=True
        )

    def delete(self, key: str) -> None:
        self.ssm.delete_parameter(Name=f"/{self.name}/{key}")

    def found(self) -> dict[str, Any]:
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(Path=f"/{self.name}/")
        return {
            one["Name"].rpartition("/")[2]: one["Value"]
            for page in pages
            for one in page["Parameters"]
        }


class Items(Mapping):
    """Items of a table."""

    def make(self) -> None:
        self.table = self.platform.client("dynamodb")
        self.table.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def value(self, chance: random.Random) -> Any:
        return str(chance.random())

    def put(self, key: str, value: Any) -> None:
        self.table.put_item(TableName=self.name, Item={"id": {"S": key}, "value": {"S": value}})

    def delete(self, key: str) -> None:
        self.table.delete_item(TableName=self.name, Key={"id": {"S": key}})

    def found(self) -> dict[str, Any]:
        items = self.table.scan(TableName=self.name, ConsistentRead=True)["Items"]
        return {item["id"]["S"]: item["value"]["S"] for item in items}


class Roles(Mapping):
    """Roles with a policy each."""

    keys = 3

    def make(self) -> None:
        self.iam = self.platform.client("iam")

    def value(self, chance: random.Random) -> Any:
        return str(chance.randrange(10**9))

    def put(self, key: str, value: Any) -> None:
        if key not in self.known:
            trust = {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
            try:
                self.iam.create_role(RoleName=key, AssumeRolePolicyDocument=policy(trust))
            except self.iam.exceptions.EntityAlreadyExistsException:
                # A kill between the two calls left the role alone.
                assert self.found().get(key) is None
        allowed = {"Sid": value, "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}
        self.iam.put_role_policy(RoleName=key, PolicyName="policy", PolicyDocument=policy(allowed))

    def delete(self, key: str) -> None:
        self.iam.delete_role_policy(RoleName=key, PolicyName="policy")

    def found(self) -> dict[str, Any]:
        found = {}
        for number in range(self.keys):
            key = f"{self.name}-{number}"
            try:
                held = self.iam.get_role_policy(RoleName=key, PolicyName="policy")
            except self.iam.exceptions.NoSuchEntityException:
                continue
            found[key] = held["PolicyDocument"]["Statement"][0]["Sid"]
        return found


class Alarms(Mapping):
    """Alarms on a metric."""

    keys = 3

    def make(self) -> None:
        self.metrics = self.platform.client("cloudwatch")

    def value(self, chance: random.Random) -> Any:
        return float(chance.randrange(10**6))

    def put(self, key: str, value: Any) -> None:
        self.metrics.put_metric_alarm(
            AlarmName=key,
            Namespace=self.name,
            MetricName="Errors",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            ComparisonOperator="GreaterThanThreshold",
            Threshold=value,
        )

    def delete(self, key: str) -> None:
        self.metrics.delete_alarms(AlarmNames=[key])

    def found(self) -> dict[str, Any]:
        alarms = self.metrics.describe_alarms(AlarmNamePrefix=f"{self.name}-")["MetricAlarms"]
        return {one["AlarmName"]: one["Threshold"] for one in alarms}


class Rules(Mapping):
    """Rules on a schedule, each with a target."""

    keys = 3

    def make(self) -> None:
        self.events = self.platform.client("events")
        queue = self.platform.client("sqs").create_queue(QueueName=self.name)["QueueUrl"]
        self.target = f"arn:aws:sqs:us-east-1:000000000000:{queue.rpartition('/')[2]}"

    def value(self, chance: random.Random) -> Any:
        return str(chance.randrange(10**6))

    def put(self, key: str, value: Any) -> None:
        if key not in self.known:
            self.events.put_rule(Name=key, ScheduleExpression="rate(1 day)")
        target = {"Id": "queue", "Arn": self.target, "Input": json.dumps(value)}
        self.events.put_targets(Rule=key, Targets=[target])

    def delete(self, key: str) -> None:
        self.events.remove_targets(Rule=key, Ids=["queue"])

    def found(self) -> dict[str, Any]:
        found = {}
        for rule in self.events.list_rules(NamePrefix=f"{self.name}-")["Rules"]:
            assert rule["ScheduleExpression"] == "rate(1 day)"
            for target in self.events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                found[rule["Name"]] = json.loads(target["Input"])
        return found


class Functions(Mapping):
    """Functions, which tell when they are called what they are configured to."""

    keys = 2

    def make(self) -> None:
        self.functions = self.platform.client("lambda")
        iam = self.platform.client("iam")
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        made = iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=policy(trust))
        self.role = made["Role"]["Arn"]
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("index.py", FUNCTION)
        self.package = package.getvalue()

    def value(self, chance: random.Random) -> Any:
        return str(chance.randrange(10**6))

    def put(self, key: str, value: Any) -> None:
        environment = {"Variables": {"VALUE": value}}
        if key in self.known:
            self.functions.update_function_configuration(FunctionName=key, Environment=environment)
            return
        self.functions.create_function(
            FunctionName=key,
            Runtime="python3.13",
            Handler="index.handler",
            Role=self.role,
            Code={"ZipFile": self.package},
            Environment=environment,
        )

    def delete(self, key: str) -> None:
        self.functions.delete_function(FunctionName=key)

    def found(self) -> dict[str, Any]:
        pages = self.functions.get_paginator("list_functions").paginate()
        return {
            one["FunctionName"]: one["Environment"]["Variables"]["VALUE"]
            for page in pages
            for one in page["Functions"]
            if one["FunctionName"].startswith(f"{self.name}-")
        }

    def answers(self) -> dict[str, Any]:
        """What each says when it is called."""
        return {
            key: json.load(self.functions.invoke(FunctionName=key)["Payload"]) for key in self.known
        }


def policy(statement: dict[str, Any]) -> str:
    """A policy of one statement."""
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
