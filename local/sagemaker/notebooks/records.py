"""What is known of each notebook instance: its record, its transitions, and their events."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from local.sagemaker.arns import Arns
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.events import Events
from local.sagemaker.resources import Resources
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags

KIND = "notebook-instance"
# On-create runs once, whatever comes of it.
_CREATION = "notebook-instance-creation"


class Records:
    """Keeps notebook instances, and tells of every new status."""

    def __init__(self, store: Store, arns: Arns, tags: Tags, events: Events) -> None:
        self._notebooks = Resources(
            store,
            arns,
            tags,
            kind=KIND,
            noun="NotebookInstance",
            taken=lambda arn: invalid(f"Cannot create a duplicate Notebook Instance ({arn})"),
            missing=lambda _: invalid("RecordNotFound"),
        )
        self._store = store
        self._events = events
        self._frozen = threading.Event()
        self.find = self._notebooks.find
        self.get = self._notebooks.get
        self.all = self._notebooks.all
        self.page = self._notebooks.page
        self.refuse_taken = self._notebooks.refuse_taken

    def create(self, params: Mapping[str, Any], members: Mapping[str, Any]) -> Document:
        """Keep a new instance that is pending.

        Raises:
            ServiceError: when the name is taken, or the tags are not allowed.
        """
        notebook = self._notebooks.create(
            params,
            {**members, "NotebookInstanceStatus": "Pending", "LastModifiedTime": time.time()},
        )
        self._tell(notebook)
        return notebook

    def begin(
        self, name: str, status: str, *, allowed: tuple[str, ...], **changes: object
    ) -> Document:
        """Move an instance into a state of change; None takes a member away.

        Raises:
            ServiceError: when there is none, or its status does not allow it.
        """
        self.get(name)

        def edit(notebook: Document) -> None:
            current = notebook["NotebookInstanceStatus"]
            if current not in allowed:
                raise _refused(current, allowed, status, notebook["NotebookInstanceArn"])
            _write(notebook, {"NotebookInstanceStatus": status, **changes})

        changed = self._notebooks.change(name, edit)
        if changed is None:
            raise invalid("RecordNotFound")
        self._tell(changed)
        return changed

    def change(self, name: str, **changes: object) -> None:
        """Write into the record, and tell of it; None takes a member away."""
        if self._frozen.is_set():
            return
        changed = self._notebooks.change(name, lambda notebook: _write(notebook, changes))
        if changed is not None and "NotebookInstanceStatus" in changes:
            self._tell(changed)

    def freeze(self) -> None:
        """Let no change in any more: what ends with the platform comes back at its next start."""
        self._frozen.set()

    def creation(self, name: str) -> str:
        """How far the one run of on-create is: "", "begun" or "done"."""
        return str((self._store.get(_CREATION, name) or {"state": ""})["state"])

    def keep_creation(self, name: str, state: str) -> None:
        """Remember how far the one run of on-create is."""
        self._store.put(_CREATION, name, {"state": state})

    def forget(self, name: str) -> None:
        """Forget an instance that is no more."""
        self._store.delete(_CREATION, name)
        self._notebooks.delete(name)

    def _tell(self, notebook: Document) -> None:
        self._events.notebook(notebook, self._notebooks.tags(notebook["NotebookInstanceName"]))


def _write(notebook: Document, changes: Mapping[str, object]) -> None:
    notebook.update(changes, LastModifiedTime=time.time())
    for member in [key for key, value in notebook.items() if value is None]:
        del notebook[member]


def _refused(current: str, allowed: tuple[str, ...], wanted: str, arn: str) -> ServiceError:
    return invalid(
        f"Status ({current}) not in ([{', '.join(allowed)}]). "
        f"Unable to transition to ({wanted}) for Notebook Instance ({arn})."
    )
