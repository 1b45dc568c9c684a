"""Runs a sample notebook as a person would, acting as a notebook's role."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import nbformat
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from nbclient import NotebookClient

from sagemaker_constructs.notebook_permissions import NotebookPermissions
from tests.local.conftest import LocalPlatform

_ROOT = Path(__file__).resolve().parents[2]
FOLDER = _ROOT / "notebooks" / "samples"
PREFIX = "notebooks/samples/"
CELL_SECONDS = 180


class Desk:
    """What a notebook instance of the environment has: a role, and the names of the parts."""

    def __init__(self, platform: LocalPlatform, role: str) -> None:
        self._platform = platform
        made = platform.client("sts").assume_role(RoleArn=role, RoleSessionName="SageMaker")
        self._credentials = made["Credentials"]

    def run(self, name: str, folder: Path, wanted: str) -> Any:
        """Run every cell of a sample in `folder`; what the expression `wanted` then is.

        An exception of a cell fails the test, with the cell and the traceback.
        """
        (folder / "platform.json").write_text(json.dumps(names(self._platform)))
        notebook = nbformat.read(FOLDER / name, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(f"print(json.dumps({wanted}))"))
        NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
        ).execute(env=self._environment(folder))
        assert not [out for out in outputs(notebook) if out["output_type"] == "error"]
        assert any("image/png" in out.get("data", {}) for out in outputs(notebook)), "no plot"
        nbformat.write(notebook, folder / name)
        return json.loads(notebook.cells[-1]["outputs"][-1]["text"])

    def _environment(self, folder: Path) -> dict[str, str]:
        # Nothing of the person who runs the tests: neither their profile nor their credentials.
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
        return {
            **kept,
            "HOME": str(folder),
            # The list of this machine's fonts, which takes seconds to make.
            "MPLCONFIGDIR": str(_ROOT / "build" / "matplotlib"),
            "AWS_ENDPOINT_URL": self._platform.endpoint_url,
            "AWS_ACCESS_KEY_ID": self._credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self._credentials["SecretAccessKey"],
            "AWS_SESSION_TOKEN": self._credentials["SessionToken"],
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def outputs(notebook: Any) -> list[Mapping[str, Any]]:
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


def left(platform: LocalPlatform, *jobs: str) -> list[str]:
    """What is still paid for: objects of the desk, and jobs with these words in their names."""
    bucket = platform.parameter("storage/data-bucket")
    found = platform.client("s3").list_objects_v2(Bucket=bucket, Prefix=PREFIX)
    objects = [one["Key"] for one in found.get("Contents", [])]
    running = [
        one["TrainingJobName"]
        for word in jobs
        for status in ("InProgress", "Stopping")
        for one in platform.client("sagemaker").list_training_jobs(
            NameContains=word, StatusEquals=status
        )["TrainingJobSummaries"]
    ]
    return objects + running


def names(platform: LocalPlatform) -> dict[str, object]:
    """As `stacks/development.py` gives them to an instance."""
    return {
        "environment": "local",
        "region": "us-east-1",
        "data_bucket": platform.parameter("storage/data-bucket"),
        "data_prefix": PREFIX,
        "models_bucket": platform.parameter("storage/models-bucket"),
        "key_arn": platform.parameter("storage/key-arn"),
        "state_machine_arn": platform.parameter("training/state-machine-arn"),
        "execution_role_arn": platform.parameter("training/execution-role-arn"),
        "job_prefix": "local-",
        "model_package_groups": {"digits": "sagemaker-platform-local-digits"},
        "endpoints": {"digits": "sagemaker-platform-local-digits"},
    }


@contextmanager
def desk(platform: LocalPlatform) -> Iterator[Desk]:
    """A role with exactly what a notebook's role may do, which the tests may assume."""
    stacks, name = platform.client("cloudformation"), f"samples-{os.getpid()}"
    stacks.create_stack(
        StackName=name,
        TemplateBody=json.dumps(_template(platform)),
        Capabilities=["CAPABILITY_IAM"],
    )
    try:
        stacks.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        (made,) = stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
        yield Desk(platform, made["OutputValue"])
    finally:
        stacks.delete_stack(StackName=name)


def _template(platform: LocalPlatform) -> Any:
    known = names(platform)
    app = cdk.App()
    stack = cdk.Stack(
        app,
        "Samples",
        env=cdk.Environment(account="000000000000", region="us-east-1"),
        synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
    )
    machine = str(known["state_machine_arn"])
    execution_role = str(known["execution_role_arn"])
    may = NotebookPermissions(
        scope=stack,
        key=kms.Key.from_key_arn(stack, "Key", str(known["key_arn"])),
        data=s3.Bucket.from_bucket_name(stack, "Data", str(known["data_bucket"])),
        models=s3.Bucket.from_bucket_name(stack, "Models", str(known["models_bucket"])),
        state_machine_arn=machine,
        state_machine_name=machine.rpartition(":")[2],
        execution_role=iam.Role.from_role_arn(stack, "Execution", execution_role),
        job_prefix="local-",
        model_package_groups=["sagemaker-platform-local-digits"],
        endpoint_names=["sagemaker-platform-local-digits"],
    )
    statements = [one for each in may.work(PREFIX) for one in each.statements]
    role = iam.Role(
        stack,
        "Role",
        assumed_by=iam.AccountRootPrincipal(),
        inline_policies={"own": iam.PolicyDocument(statements=statements)},
    )
    cdk.CfnOutput(stack, "RoleArn", value=role.role_arn)
    return app.synth().get_stack_by_name("Samples").template
