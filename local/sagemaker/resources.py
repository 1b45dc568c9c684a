"""What all kinds of resources have in common: a record under a name, an ARN, tags, a listing."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from local.sagemaker import listing
from local.sagemaker.arns import Arns
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags, check_new_tags


class Resources:
    """The resources of one kind, such as `endpoint-config`.

    The members of a record begin with a noun, such as `EndpointConfig`: its name is in
    EndpointConfigName, its ARN in EndpointConfigArn, its status, if it has one, in
    EndpointConfigStatus.

    A name is found in the case that it was given in. Where SageMaker documents that the names of a
    kind are the same whatever their case, `ignores_case` has a creation refuse the second of them.
    """

    def __init__(
        self,
        store: Store,
        arns: Arns,
        tags: Tags,
        *,
        kind: str,
        noun: str,
        taken: Callable[[str], Exception],
        missing: Callable[[str], Exception],
        ignores_case: bool = False,
    ) -> None:
        self._store = store
        self._arns = arns
        self._tags = tags
        self._kind = kind
        self._noun = noun
        self._taken = taken
        self._missing = missing
        self._ignores_case = ignores_case

    def arn(self, name: str) -> str:
        """Give the ARN of a resource, whether or not there is one of the name."""
        return self._arns.of(self._kind, name)

    def create(self, params: Mapping[str, Any], members: Mapping[str, Any]) -> Document:
        """Keep a new resource with the tags that its creation brings, or keep nothing.

        Raises:
            ServiceError: when the name is taken, or the tags are not allowed.
        """
        tags = params.get("Tags", [])
        # Before anything is kept: a creation that is refused leaves nothing behind.
        check_new_tags(tags)
        name = params[f"{self._noun}Name"]
        arn = self.arn(name)
        document = {
            f"{self._noun}Name": name,
            **members,
            f"{self._noun}Arn": arn,
            "CreationTime": time.time(),
        }
        if not self._added(name, document):
            raise self._taken(arn)
        self._tags.start(arn, tags)
        return document

    def refuse_taken(self, name: str) -> None:
        """Refuse a name early, before what takes long is looked at.

        Raises:
            ServiceError: when the name is taken.
        """
        if self.find(name) is not None or self._differs_by_case(name):
            raise self._taken(self.arn(name))

    def find(self, name: str) -> Document | None:
        """Find a resource, or None."""
        return self._store.get(self._kind, name)

    def get(self, name: str) -> Document:
        """Find a resource.

        Raises:
            ServiceError: when there is none of the name.
        """
        document = self.find(name)
        if document is None:
            raise self._missing(self.arn(name))
        return document

    def _added(self, name: str, document: Document) -> bool:
        if not self._ignores_case:
            return self._store.add(self._kind, name, document)
        return self._store.add_unless(
            self._kind, name, document, lambda other: self._same(other, name)
        )

    def _differs_by_case(self, name: str) -> bool:
        return self._ignores_case and any(self._same(other, name) for other in self.all())

    def _same(self, other: Mapping[str, Any], name: str) -> bool:
        return bool(str(other[f"{self._noun}Name"]).lower() == name.lower())

    def all(self) -> list[Document]:
        """List every resource of the kind, by name."""
        return self._store.all(self._kind)

    def change(self, name: str, edit: Callable[[Document], object]) -> Document | None:
        """Edit a record while no other thread can, and return it; None when there is none."""
        return self._store.change(self._kind, name, edit)

    def delete(self, name: str) -> None:
        """Forget a resource and its tags.

        Raises:
            ServiceError: when there is none of the name.
        """
        document = self.get(name)
        self._store.delete(self._kind, name)
        self._tags.end(document[f"{self._noun}Arn"])

    def tags(self, name: str) -> dict[str, str]:
        """Give the tags of a resource as events carry them."""
        return self._tags.of(self.arn(name))

    def page(
        self,
        params: Mapping[str, Any],
        answer: str,
        members: Sequence[str] = (),
        *,
        default_order: str = "Descending",
        late: Collection[str] = (),
        only: Callable[[Document], bool] = lambda document: True,
    ) -> dict[str, Any]:
        """Answer a List operation: under `answer`, name, ARN, creation and `members` of each.

        `only` says which are listed at all, beside the filters that all listings have; `late` are
        the filters that are applied to a page once it is cut.
        """
        found, more = listing.page(
            [document for document in self.all() if only(document)],
            params,
            name=f"{self._noun}Name",
            status=f"{self._noun}Status",
            default_order=default_order,
            late=late,
        )
        shown = (f"{self._noun}Name", f"{self._noun}Arn", "CreationTime", *members)
        return {answer: [listing.summary(document, shown) for document in found], **more}


def without_tags(params: Mapping[str, Any]) -> dict[str, Any]:
    """Take from the parameters of a creation what the record keeps: all but the tags."""
    return {name: value for name, value in params.items() if name != "Tags"}
