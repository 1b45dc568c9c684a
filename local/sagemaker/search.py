"""Search: resources by any of their properties.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Search.html
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_Filter.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from botocore.model import StructureShape

from local.sagemaker import search_properties
from local.sagemaker.errors import invalid
from local.sagemaker.listing import DEFAULT_PAGE, no_token, summary
from local.sagemaker.search_properties import Property
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags
from local.sagemaker.validation import service_model

# The resources that can be made here, by what stores them. All others are none, which is the
# truth: a search for them finds nothing.
_KINDS = {
    "TrainingJob": "training-job",
    "Endpoint": "endpoint",
    "Model": "model",
    "ModelPackage": "model-package",
    "ModelPackageGroup": "model-package-group",
}
_MOST_CONDITIONS = 50
Params = Mapping[str, Any]
Test = Callable[[Document], bool]


class Search:
    """Answers Search from what is stored."""

    def __init__(self, store: Store, tags: Tags) -> None:
        self._store = store
        self._tags = tags

    def search(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer Search.

        Raises:
            ServiceError: for a property that the resource has not, an operator that is not for
                the property's type, a value that is none of it, or a foreign NextToken.
        """
        resource = params["Resource"]
        sort_by = search_properties.of(resource, params.get("SortBy", _time_of(resource)))
        wanted = _expression(resource, params.get("SearchExpression"))
        records = [] if _elsewhere(params) else [*self._records(resource)]
        found = [
            record
            for record in records
            if wanted(record) and _visible(record, params.get("VisibilityConditions", ()))
        ]
        descending = params.get("SortOrder", "Descending") == "Descending"
        question = {
            key: value for key, value in params.items() if key not in ("NextToken", "MaxResults")
        }
        ranked = [(_rank(record, sort_by), record) for record in found]
        ranked.sort(key=lambda one: one[0], reverse=descending)
        last = _last(params.get("NextToken"), question)
        if last is not None:
            try:
                behind = [
                    one for one in ranked if (one[0] < last) == descending != (one[0] == last)
                ]
            except TypeError:
                raise no_token() from None
        else:
            behind = ranked
        shown = behind[: params.get("MaxResults", DEFAULT_PAGE)]
        more = {}
        if len(shown) < len(behind):
            content = json.dumps([shown[-1][0], question], sort_keys=True)
            more = {"NextToken": base64.urlsafe_b64encode(content.encode()).decode()}
        return {
            "Results": [{search_properties.member(resource): record} for _, record in shown],
            "TotalHits": {"Value": len(found), "Relation": "EqualTo"},
            **more,
        }

    def _records(self, resource: str) -> Iterator[Document]:
        """Every resource as an answer shows it, with its tags."""
        kind = _KINDS.get(resource)
        if kind is None:
            return
        shape = search_properties.shape(resource)
        endpoints = [*self._endpoints()] if resource == "Model" else []
        for document in self._store.all(kind):
            tags = self._tags.of(document[f"{resource}Arn"])
            record = summary(document, shape.members)
            record["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
            if resource == "Model":
                name = document["ModelName"]
                serving = [endpoint for models, endpoint in endpoints if name in models]
                record = {"Model": record, "Endpoints": serving}
            yield record

    def _endpoints(self) -> Iterator[tuple[set[str], Document]]:
        """The models that each endpoint serves, and the endpoint as the dashboard shows it."""
        members = cast(StructureShape, service_model().shape_for("ModelDashboardEndpoint")).members
        configs = {one["EndpointConfigName"]: one for one in self._store.all("endpoint-config")}
        for endpoint in self._store.all("endpoint"):
            config = configs.get(endpoint["EndpointConfigName"], {})
            models = {one.get("ModelName", "") for one in config.get("ProductionVariants", ())}
            yield models, summary(endpoint, members)


def _time_of(resource: str) -> str:
    """The property that results are sorted by unless a request names one."""
    members = search_properties.shape(resource).members
    if "LastModifiedTime" in members:
        return "LastModifiedTime"
    return "Model.CreationTime" if resource == "Model" else "CreationTime"


def _elsewhere(params: Params) -> bool:
    # Nothing is shared between the accounts of this platform.
    return bool(params.get("CrossAccountFilterOption") == "CrossAccount")


def _expression(resource: str, expression: Params | None) -> Test:
    if expression is None:
        return lambda record: True
    used = [*_conditions(expression)]
    if len(used) > _MOST_CONDITIONS:
        raise invalid(
            f"The search expression has {len(used)} conditions; it can have {_MOST_CONDITIONS}."
        )
    if used.count("Contains") > 1:
        raise invalid("'CONTAINS' operator usage limit of 1 exceeded.")
    return _all_of(resource, expression)


def _conditions(expression: Params) -> Iterator[str]:
    """The operator of each condition, at any depth."""
    for one in expression.get("Filters", ()):
        yield one.get("Operator", "Equals")
    for nested in expression.get("NestedFilters", ()):
        for one in nested["Filters"]:
            yield one.get("Operator", "Equals")
    for inner in expression.get("SubExpressions", ()):
        yield from _conditions(inner)


def _all_of(resource: str, expression: Params) -> Test:
    tests: list[Test] = [_filter(resource, one) for one in expression.get("Filters", ())]
    tests += [_nested(resource, one) for one in expression.get("NestedFilters", ())]
    tests += [_all_of(resource, one) for one in expression.get("SubExpressions", ())]
    if not tests:
        raise invalid(
            "A search expression must have at least one of Filters, NestedFilters and "
            "SubExpressions."
        )
    combined = any if expression.get("Operator") == "Or" else all
    return lambda record: combined(test(record) for test in tests)


def _filter(resource: str, given: Params) -> Test:
    found = search_properties.of(resource, given["Name"])
    holds = search_properties.condition(found, given)
    return lambda record: holds(found.values(record))


def _nested(resource: str, given: Params) -> Test:
    name = given["NestedPropertyName"]
    around = search_properties.of(resource, name)
    if not around.listed:
        raise invalid(f"The property {name} of {resource} is no list: give its filters in Filters.")
    parts: list[tuple[Property, Callable[[list[Any]], bool]]] = []
    for one in given["Filters"]:
        inner = one["Name"] if one["Name"].startswith(f"{name}.") else f"{name}.{one['Name']}"
        found = search_properties.of(resource, inner)
        parts.append((found, search_properties.condition(found, one)))

    def holds(record: Document) -> bool:
        return any(
            all(test(found.values(element, after=around)) for found, test in parts)
            for element in around.values(record)
        )

    return holds


def _visible(record: Document, conditions: list[Params]) -> bool:
    """Whether each tag that a condition names is absent, or has the value of the condition."""
    tags = {tag["Key"]: tag["Value"] for tag in record.get("Model", record).get("Tags", ())}
    return all(
        tags.get(one["Key"].removeprefix("Tags."), one.get("Value")) == one.get("Value")
        for one in conditions
        if "Key" in one
    )


def _rank(record: Document, sort_by: Property) -> list[Any]:
    """Where a record stands: by the property, those that have none last, and by ARN at last."""
    values = [value for value in sort_by.values(record) if not isinstance(value, dict | list)]
    arn = next(value for name, value in record.get("Model", record).items() if name.endswith("Arn"))
    if not values:
        return [0, "", arn]
    number = search_properties.number(values[0])
    return [2, number, arn] if number is not None else [1, str(values[0]), arn]


def _last(token: str | None, question: Params) -> list[Any] | None:
    if token is None:
        return None
    try:
        rank, asked = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError, TypeError):
        raise no_token() from None
    if asked != question or not isinstance(rank, list):
        raise no_token()
    return rank
