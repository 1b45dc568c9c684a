"""Runs a sample notebook as a person would: in JupyterLab, as the notebook's role."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from tests.local.jupyter import Session
from tests.local.support import until
from tests.platform import LocalPlatform

FOLDER = "sagemaker-platform"
# Of the data bucket: what the stack gives the workbench, whose role and scripts are used here.
PREFIX = "notebooks/workbench/"
CELL_SECONDS = 180


class Desk:
    """A notebook instance with what the stack gave the environment's own."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, name: str, wanted: str) -> Any:
        """Run every cell of a sample as it was delivered; what the expression `wanted` then is.

        An exception of a cell fails the test, with its traceback.
        """
        notebook = self._session.api("GET", f"contents/{FOLDER}/{name}")["content"]
        cells = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
        with self._session.kernel(f"{FOLDER}/{name}", CELL_SECONDS) as kernel:
            for cell in cells:
                kernel.run(cell)
            assert kernel.pictures, "no plot"
            return json.loads(kernel.run(f"print(json.dumps({wanted}))"))


@contextmanager
def desk(platform: LocalPlatform) -> Iterator[Desk]:
    """An instance of its own, since the tests of the workbench stop the workbench."""
    sagemaker, name = platform.client("sagemaker"), f"samples-{uuid4().hex[:8]}"
    like = sagemaker.describe_notebook_instance(
        NotebookInstanceName=platform.parameter("notebooks/workbench/name")
    )
    sagemaker.create_notebook_instance(
        NotebookInstanceName=name,
        RoleArn=like["RoleArn"],
        LifecycleConfigName=like["NotebookInstanceLifecycleConfigName"],
        SubnetId=like["SubnetId"],
        SecurityGroupIds=like["SecurityGroups"],
        **{key: like[key] for key in ("InstanceType", "DirectInternetAccess", "RootAccess")},
    )

    def status() -> str:
        found = sagemaker.describe_notebook_instance(NotebookInstanceName=name)
        return str(found["NotebookInstanceStatus"])

    try:
        until(lambda: status() != "Pending", f"{name} in service", 120)
        opened = platform.smp("notebook", "open", name, "--no-browser")
        assert opened.returncode == 0, opened.stderr
        url = re.search(r"http://\S+", opened.stdout)
        assert url, opened.stdout
        yield Desk(Session(url.group()))
    finally:
        sagemaker.stop_notebook_instance(NotebookInstanceName=name)
        until(lambda: status() == "Stopped", f"the end of {name}", 60)
        sagemaker.delete_notebook_instance(NotebookInstanceName=name)


def left(platform: LocalPlatform, folder: str, word: str) -> list[str]:
    """What is still paid for: objects in a sample's folder, and jobs with a word in their names."""
    bucket = platform.parameter("storage/data-bucket")
    found = platform.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{PREFIX}{folder}/")
    objects = [one["Key"] for one in found.get("Contents", [])]
    jobs = platform.client("sagemaker").get_paginator("list_training_jobs")
    running = [
        one["TrainingJobName"]
        for status in ("InProgress", "Stopping")
        for page in jobs.paginate(NameContains=word, StatusEquals=status)
        for one in page["TrainingJobSummaries"]
    ]
    return objects + running
