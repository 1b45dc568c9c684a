"""The tags of every kind of resource, kept by ARN."""

from collections.abc import Mapping, Sequence
from typing import Any

from local.sagemaker.errors import invalid
from local.sagemaker.listing import no_token
from local.sagemaker.store import Store

KIND = "tags"
_LIMIT = 50


class Tags:
    """AddTags, ListTags, DeleteTags, and the tags that creations bring."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
        """Give a new resource its tags, which were checked; from now on it can be tagged."""
        self._store.put(KIND, arn, {tag["Key"]: tag["Value"] for tag in tags})

    def end(self, arn: str) -> None:
        """Forget the tags of a resource that is no more."""
        self._store.delete(KIND, arn)

    def of(self, arn: str) -> dict[str, str]:
        """Give the tags of a resource as events carry them."""
        return self._store.get(KIND, arn) or {}

    def add(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer AddTags."""
        check_new_tags(params["Tags"])

        def edit(tags: dict[str, Any]) -> None:
            tags.update({tag["Key"]: tag["Value"] for tag in params["Tags"]})
            if len(tags) > _LIMIT:
                raise invalid(f"A resource has at most {_LIMIT} tags; this one would have more.")

        tags = self._store.change(KIND, params["ResourceArn"], edit)
        return {"Tags": _listed(_known(tags, params))}

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListTags; a resource has too few tags for a second page."""
        if "NextToken" in params:
            raise no_token()
        return {"Tags": _listed(_known(self._store.get(KIND, params["ResourceArn"]), params))}

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteTags."""

        def edit(tags: dict[str, Any]) -> None:
            for key in params["TagKeys"]:
                tags.pop(key, None)

        _known(self._store.change(KIND, params["ResourceArn"], edit), params)
        return {}


def check_new_tags(tags: Sequence[Mapping[str, str]]) -> None:
    """Refuse what no resource may be tagged with.

    Raises:
        ServiceError: for a key that is given twice or that belongs to AWS.
    """
    keys = [tag["Key"] for tag in tags]
    if len({key.lower() for key in keys}) < len(keys):
        raise invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    for key in keys:
        if key.lower().startswith("aws:"):
            raise invalid(f"Tag key {key!r} is reserved: aws: is the prefix of AWS's own tags.")


def _known(tags: dict[str, Any] | None, params: Mapping[str, Any]) -> dict[str, str]:
    if tags is None:
        raise invalid(f'Could not find resource "{params["ResourceArn"]}".')
    return tags


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
