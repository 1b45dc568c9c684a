"""Lifecycle configurations: the scripts that a notebook instance runs when it is made or starts."""

import base64
import binascii
import time
from collections.abc import Callable
from typing import Any

from local.sagemaker.arns import Arns
from local.sagemaker.errors import ServiceError, invalid
from local.sagemaker.resources import Resources, without_tags
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags

KIND = "notebook-instance-lifecycle-config"
HOOKS = ("OnCreate", "OnStart")


class LifecycleConfigs:
    """The operations on lifecycle configurations."""

    def __init__(self, store: Store, arns: Arns, tags: Tags) -> None:
        self._configs = Resources(
            store,
            arns,
            tags,
            kind=KIND,
            noun="NotebookInstanceLifecycleConfig",
            taken=_unable("create", "already exists"),
            missing=_unable("describe", "does not exist"),
        )
        self.arn = self._configs.arn
        self.find = self._configs.find
        self.get = self._configs.get

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateNotebookInstanceLifecycleConfig."""
        _check(params)
        members = {
            **{hook: [] for hook in HOOKS},
            **without_tags(params),
            "LastModifiedTime": time.time(),
        }
        config = self._configs.create(params, members)
        return {"NotebookInstanceLifecycleConfigArn": config["NotebookInstanceLifecycleConfigArn"]}

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeNotebookInstanceLifecycleConfig."""
        return self.get(params["NotebookInstanceLifecycleConfigName"])

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListNotebookInstanceLifecycleConfigs."""
        return self._configs.page(params, "NotebookInstanceLifecycleConfigs", ("LastModifiedTime",))

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer UpdateNotebookInstanceLifecycleConfig; instances run it from their next start."""
        _check(params)
        name = params["NotebookInstanceLifecycleConfigName"]
        if self.find(name) is None:
            raise _unable("update", "does not exist")(self.arn(name))

        def edit(config: Document) -> None:
            config.update({hook: params.get(hook, []) for hook in HOOKS})
            config["LastModifiedTime"] = time.time()

        self._configs.change(name, edit)
        return {}

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteNotebookInstanceLifecycleConfig."""
        name = params["NotebookInstanceLifecycleConfigName"]
        if self.find(name) is None:
            raise _unable("delete", "does not exist")(self.arn(name))
        self._configs.delete(name)
        return {}


def script(config: Document, hook: str) -> bytes | None:
    """Give the script of a hook, or None."""
    for entry in config.get(hook) or []:
        if entry.get("Content"):
            return base64.b64decode(entry["Content"])
    return None


def _check(params: dict[str, Any]) -> None:
    """Refuse what no instance could run; the length is checked with AWS's own model."""
    for hook in HOOKS:
        for entry in params.get(hook, []):
            try:
                base64.b64decode(entry.get("Content", ""), validate=True)
            except (binascii.Error, ValueError) as error:
                raise invalid(
                    f"The Content of {hook} is not base64 ({error}): encode the script, "
                    "for example with base64 -w0."
                ) from error


def _unable(verb: str, why: str) -> Callable[[str], ServiceError]:
    def worded(arn: str) -> ServiceError:
        return invalid(
            f"Unable to {verb} Notebook Instance Lifecycle Config '{arn}'. "
            f"(Details: Notebook Instance Lifecycle Config {why}.)"
        )

    return worded
