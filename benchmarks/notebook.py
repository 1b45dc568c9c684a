"""From CreateNotebookInstance to the page of JupyterLab."""

import json
import time
import urllib.request
from uuid import uuid4

from benchmarks.measuring import RUNS, Figure
from local.cli.aws import Aws

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def measure(aws: Aws) -> list[Figure]:
    """Create notebooks one after another, without scripts, and load JupyterLab's page of each."""
    iam = aws.platform.credentials.session().client("iam", endpoint_url=aws.url)
    role = iam.create_role(
        RoleName=f"notebook-{uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps(TRUST)
    )["Role"]["Arn"]
    values = [_usable(aws, role) for _ in range(RUNS)]
    return [Figure("notebook: create to usable JupyterLab", "s", values)]


def _usable(aws: Aws, role: str) -> float:
    client, name = aws.sagemaker, f"bench-{uuid4().hex[:8]}"
    began = time.perf_counter()
    client.create_notebook_instance(
        NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=role
    )
    _reached(aws, name, "InService")
    url = client.create_presigned_notebook_instance_url(NotebookInstanceName=name)["AuthorizedUrl"]
    with urllib.request.urlopen(url) as page:
        page.read()
    seconds = time.perf_counter() - began
    client.stop_notebook_instance(NotebookInstanceName=name)
    _reached(aws, name, "Stopped")
    client.delete_notebook_instance(NotebookInstanceName=name)
    return seconds


def _reached(aws: Aws, name: str, wanted: str) -> None:
    while True:
        found = aws.sagemaker.describe_notebook_instance(NotebookInstanceName=name)
        if found["NotebookInstanceStatus"] == wanted:
            return
        if found["NotebookInstanceStatus"] == "Failed":
            raise RuntimeError(found["FailureReason"])
        time.sleep(0.05)
