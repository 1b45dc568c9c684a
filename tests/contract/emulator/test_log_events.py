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
