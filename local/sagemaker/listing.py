"""How the List operations filter, order and page."""

import base64
import binascii
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from local.sagemaker.errors import ServiceError, invalid

DEFAULT_PAGE = 10
_FILTERS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "CreationTimeAfter": ("CreationTime", lambda value, limit: value >= limit),
    "CreationTimeBefore": ("CreationTime", lambda value, limit: value <= limit),
    "LastModifiedTimeAfter": ("LastModifiedTime", lambda value, limit: value >= limit),
    "LastModifiedTimeBefore": ("LastModifiedTime", lambda value, limit: value <= limit),
}


def page(
    documents: Iterable[Mapping[str, Any]],
    params: Mapping[str, Any],
    *,
    name: str,
    status: str = "",
    default_order: str = "Descending",
    late: Collection[str] = (),
) -> tuple[list[Mapping[str, Any]], dict[str, str]]:
    """Select one page of a listing, and what to put into the answer so that the next is found.

    Args:
        documents: All that the listing is of.
        params: The parameters of the request.
        name: The member that NameContains, and SortBy Name, look at.
        status: The member that StatusEquals, and SortBy Status, look at.
        default_order: The SortOrder of a request that names none.
        late: The filters that look at a page once it is cut: it can come out short, or empty,
            while there is a next one.

    Raises:
        ServiceError: for a NextToken that is none of this listing.
    """
    early = {key: value for key, value in params.items() if key not in late}
    found = [document for document in documents if _wanted(document, early, name, status)]
    sort_by = params.get("SortBy", "CreationTime")
    member = {"Name": name, "Status": status}.get(sort_by, sort_by)

    def order(document: Mapping[str, Any]) -> tuple[Any, str]:
        # The resource's own ARN decides between equals, so that no page repeats or skips one.
        return document[member], str(document.get(f"{name.removesuffix('Name')}Arn", ""))

    descending = params.get("SortOrder", default_order) == "Descending"
    found.sort(key=order, reverse=descending)
    # A page begins behind the last one of the page before and not at a number: what is created or
    # deleted meanwhile moves no other.
    last = _last(params.get("NextToken"), params)
    if last is not None:
        found = [one for one in found if (order(one) < last if descending else order(one) > last)]
    cut = found[: params.get("MaxResults", DEFAULT_PAGE)]
    more = {"NextToken": _token(order(cut[-1]), params)} if len(cut) < len(found) else {}
    filters = {key: value for key, value in params.items() if key in late}
    return [document for document in cut if _wanted(document, filters, name, status)], more


def no_token() -> ServiceError:
    """The refusal of a NextToken that no answer of the listing has had."""
    return invalid(
        "Invalid pagination token: the NextToken is not one of this listing. Take it from the "
        "answer before, and keep every other parameter as it was."
    )


def summary(document: Mapping[str, Any], members: Iterable[str]) -> dict[str, Any]:
    """Take from a document what a listing shows of it."""
    return {name: document[name] for name in members if document.get(name) is not None}


def _wanted(document: Mapping[str, Any], params: Mapping[str, Any], name: str, status: str) -> bool:
    approval = params.get("ModelApprovalStatus")
    if approval and document.get("ModelApprovalStatus") != approval:
        return False
    if params.get("NameContains", "").lower() not in str(document.get(name, "")).lower():
        return False
    if "StatusEquals" in params and document.get(status) != params["StatusEquals"]:
        return False
    warm = params.get("WarmPoolStatusEquals")
    if warm and document.get("WarmPoolStatus", {}).get("Status") != warm:
        return False
    return all(
        holds(document.get(member, 0), _epoch(params[key]))
        for key, (member, holds) in _FILTERS.items()
        if key in params
    )


def _epoch(value: float | str) -> float:
    if isinstance(value, str):
        from botocore.utils import parse_timestamp

        return float(parse_timestamp(value).timestamp())
    return float(value)


def _question(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key not in ("NextToken", "MaxResults")}


def _token(last: tuple[Any, str], params: Mapping[str, Any]) -> str:
    content = json.dumps([last, _question(params)], sort_keys=True)
    return base64.urlsafe_b64encode(content.encode()).decode()


def _last(token: str | None, params: Mapping[str, Any]) -> tuple[Any, str] | None:
    if token is None:
        return None
    try:
        (value, arn), question = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError, TypeError):
        value, arn, question = None, None, None
    # By name or status a text, by time a number: what cannot be compared is no token of ours.
    comparable = isinstance(value, str) == (params.get("SortBy") in ("Name", "Status"))
    if not isinstance(arn, str) or question != _question(params) or not comparable:
        raise no_token()
    return value, arn
