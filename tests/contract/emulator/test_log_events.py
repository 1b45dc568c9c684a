from typing import Any

import pytest

from .conftest import Server


def test_a_search_is_kept_to_the_streams_that_its_prefix_names(server: Server) -> None:
    logs = server.client("logs")
    logs.create_log_group(logGroupName="/searched")
    for name in ("one/a", "one/b", "two/a"):
        logs.create_log_stream(logGroupName="/searched", logStreamName=name)
        logs.put_log_events(
            logGroupName="/searched",
            logStreamName=name,
            logEvents=[{"timestamp": 1_700_000_000_000, "message": f"from {name}"}],
        )

    def found(**options: object) -> list[str]:
        answer = logs.filter_log_events(logGroupName="/searched", **options)
        return sorted(event["message"] for event in answer["events"])

    assert found(logStreamNamePrefix="one/") == ["from one/a", "from one/b"]
    assert found(logStreamNamePrefix="three/") == []
    assert len(found()) == 3
    with pytest.raises(logs.exceptions.InvalidParameterException, match="together"):
        found(logStreamNamePrefix="one/", logStreamNames=["two/a"])
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(logGroupName="/nowhere", logStreamNamePrefix="one/")


def test_a_group_is_named_by_its_arn_as_well(server: Server) -> None:
    logs = server.client("logs")
    logs.create_log_group(logGroupName="/named")
    logs.create_log_stream(logGroupName="/named", logStreamName="one")
    arn = "arn:aws:logs:us-east-1:000000000000:log-group:/named"
    for identifier in (arn, "/named"):
        (stream,) = logs.describe_log_streams(logGroupIdentifier=identifier)["logStreams"]
        assert stream["logStreamName"] == "one"


@pytest.mark.parametrize(
    ("operation", "parameters", "words"),
    [
        (
            "describe_log_streams",
            {"logGroupName": "/g", "logStreamNamePrefix": "a", "orderBy": "LastEventTime"},
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ),
        ("describe_log_streams", {"logGroupName": "/g", "logGroupIdentifier": "/g"}, "not both"),
        ("describe_log_streams", {}, "either logGroupIdentifier or logGroupName"),
        ("filter_log_events", {"logGroupName": "/g", "logGroupIdentifier": "/g"}, "not both"),
        ("get_log_events", {"logStreamName": "a"}, "either logGroupIdentifier or logGroupName"),
        (
            "describe_log_groups",
            {"logGroupNamePrefix": "a", "logGroupNamePattern": "b"},
            "mutually exclusive",
        ),
        (
            "describe_log_groups",
            {"logGroupIdentifiers": ["a"], "logGroupNamePrefix": "b"},
            "beside logGroupIdentifiers",
        ),
    ],
    ids=["order", "streams-both", "streams-none", "filter-both", "get-none", "prefix", "ids"],
)
def test_parameters_that_exclude_one_another_are_refused(
    server: Server, operation: str, parameters: dict[str, Any], words: str
) -> None:
    logs = server.client("logs")
    with pytest.raises(logs.exceptions.InvalidParameterException) as caught:
        getattr(logs, operation)(**parameters)
    assert words in str(caught.value)
