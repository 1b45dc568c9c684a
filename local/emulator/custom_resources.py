"""A custom resource whose function fails is refused at once."""

import functools
from collections.abc import Mapping
from typing import Any


def install() -> None:
    """Answer for a function that failed before it answered.

    AWS waits for the answer for an hour and then says no more than that it timed out. Nobody waits
    for that at a laptop: the function's own error becomes the resource's reason.
    """
    from ministack.services import lambda_svc

    execute = lambda_svc._execute_function_with_config_scope

    @functools.wraps(execute)
    def executed(record: Any, event: Any, *args: Any, **kwargs: Any) -> Any:
        outcome = execute(record, event, *args, **kwargs)
        if isinstance(event, Mapping) and isinstance(outcome, Mapping) and outcome.get("error"):
            _answer_for(event, outcome.get("body"))
        return outcome

    lambda_svc._execute_function_with_config_scope = executed


def _answer_for(event: Mapping[str, Any], body: Any) -> None:
    from ministack.services.cloudformation import custom_resource

    if "ResponseURL" not in event or "RequestType" not in event:
        return
    token = str(event["ResponseURL"]).rpartition("/")[2]
    waiting = custom_resource._pending.get(token)
    if waiting is None or waiting["result"] is not None:
        return
    error = body if isinstance(body, Mapping) else {}
    reason = f"{error.get('errorType', 'Error')}: {error.get('errorMessage', body)}"
    custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": reason})
