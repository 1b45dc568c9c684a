"""The notebook of the local environment's file: what the stack gave it, and its own end."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local.confinement import offered
from tests.local.jupyter import Session
from tests.local.support import until
from tests.platform import LocalPlatform
from tests.unit.notebooks.wheels import file_name, wheel

NAMESPACE = "SageMakerPlatform/Notebooks"


@pytest.fixture(scope="module")
def name(platform: LocalPlatform) -> str:
    return platform.parameter("notebooks/workbench/name")


def described(platform: LocalPlatform, name: str) -> dict[str, Any]:
    found: dict[str, Any] = platform.client("sagemaker").describe_notebook_instance(
        NotebookInstanceName=name
    )
    return found


def reached(platform: LocalPlatform, name: str, status: str) -> None:
    def look() -> bool:
        found = described(platform, name)
        assert found["NotebookInstanceStatus"] != "Failed", found.get("FailureReason")
        return bool(found["NotebookInstanceStatus"] == status)

    until(look, f"{name} {status}", 90)


@pytest.fixture(scope="module")
def session(platform: LocalPlatform, name: str) -> Session:
    reached(platform, name, "InService")
    url = platform.client("sagemaker").create_presigned_notebook_instance_url(
        NotebookInstanceName=name
    )["AuthorizedUrl"]
    return Session(url)


def test_the_notebook_is_as_the_stack_declares_it(platform: LocalPlatform, name: str) -> None:
    found = described(platform, name)
    assert found["DirectInternetAccess"] == "Disabled"
    assert found["RootAccess"] == "Disabled"
    assert found["PlatformIdentifier"] == "notebook-al2023-v1"
    assert found["KmsKeyId"] == platform.parameter("storage/key-arn")
    assert found["RoleArn"] == platform.parameter("notebooks/workbench/role-arn")
    subnet = platform.client("ec2").describe_subnets(SubnetIds=[found["SubnetId"]])["Subnets"][0]
    assert subnet["VpcId"] == platform.parameter("network/vpc-id")


def test_the_default_group_of_its_network_lets_nothing_in_or_out(platform: LocalPlatform) -> None:
    (group,) = platform.client("ec2").describe_security_groups(
        Filters=[
            {"Name": "vpc-id", "Values": [platform.parameter("network/vpc-id")]},
            {"Name": "group-name", "Values": ["default"]},
        ]
    )["SecurityGroups"]
    assert group["IpPermissions"] == group["IpPermissionsEgress"] == []


def test_samples_and_the_names_of_the_platform_are_in_place(
    platform: LocalPlatform, session: Session
) -> None:
    shown = session.api("GET", "contents/sagemaker-platform")["content"]
    assert {"README.md", "platform.json"} <= {one["name"] for one in shown}
    file = session.api("GET", "contents/sagemaker-platform/platform.json")["content"]
    names = json.loads(file)
    assert names["data_bucket"] == platform.parameter("storage/data-bucket")
    assert names["state_machine_arn"] == platform.parameter("training/state-machine-arn")
    assert names["execution_role_arn"] == platform.parameter("training/execution-role-arn")


FIRST_CELL = """
from sagemaker.core.helper.session_helper import Session, get_execution_role
session = Session()
print(get_execution_role(session), session.boto_region_name)
"""


def test_the_sdk_finds_the_role_and_the_region_of_the_notebook(
    platform: LocalPlatform, session: Session
) -> None:
    if not offered().namespaces or not Path("/opt").is_dir():
        pytest.skip("Without namespaces there is no /opt/ml/metadata, where the SDK looks.")
    role = platform.parameter("notebooks/workbench/role-arn")
    assert session.run(FIRST_CELL).split()[-2:] == [role, "us-east-1"]


# What a data scientist does, and what none may do: each as the notebook's role.
WORK = """
import json, os, boto3
from botocore.exceptions import ClientError
names = json.load(open(os.path.expanduser("~/SageMaker/sagemaker-platform/platform.json")))
s3, sagemaker = boto3.client("s3"), boto3.client("sagemaker")
logs, metrics = boto3.client("logs"), boto3.client("cloudwatch")
bucket, prefix = names["data_bucket"], names["data_prefix"]
group = names["model_package_groups"]["digits"]

def tried(what, call, **arguments):
    try:
        call(**arguments)
        print(what, "done")
    except ClientError as error:
        print(what, error.response["Error"]["Code"])

tried("put", s3.put_object, Bucket=bucket, Key=prefix + "a.csv", Body=b"1")
tried("get", s3.get_object, Bucket=bucket, Key=prefix + "a.csv")
tried("list", s3.list_objects_v2, Bucket=bucket, Prefix=prefix)
tried("delete", s3.delete_object, Bucket=bucket, Key=prefix + "a.csv")
tried("models", s3.list_objects_v2, Bucket=names["models_bucket"], Prefix="jobs/")
tried("jobs", sagemaker.list_training_jobs)
tried("packages", sagemaker.list_model_packages, ModelPackageGroupName=group)
tried("executions", boto3.client("stepfunctions").list_executions,
    stateMachineArn=names["state_machine_arn"])
tried("metrics", metrics.list_metrics)
tried("elsewhere", s3.put_object, Bucket=bucket, Key="others/a.csv", Body=b"1")
tried("captured", s3.get_object, Bucket=bucket, Key="capture/a")
tried("overwrite", s3.put_object, Bucket=names["models_bucket"], Key="jobs/a", Body=b"1")
tried("namespace", metrics.put_metric_data, Namespace="AWS/SageMaker",
    MetricData=[{"MetricName": "Invocations", "Value": 1}])
tried("endpoint", sagemaker.delete_endpoint, EndpointName=names["endpoints"]["digits"])
tried("other", sagemaker.stop_notebook_instance, NotebookInstanceName="another")
"""


def test_its_role_may_do_a_data_scientists_work_and_no_more(session: Session) -> None:
    said = dict(line.split() for line in session.run(WORK).splitlines())
    allowed = ["put", "get", "list", "delete", "models", "jobs", "packages", "executions"]
    allowed += ["metrics"]
    assert {what for what, outcome in said.items() if outcome == "done"} == set(allowed)
    assert {outcome for what, outcome in said.items() if what not in allowed} <= {
        "AccessDenied",
        "AccessDeniedException",
    }


@pytest.fixture
def hurried(platform: LocalPlatform, name: str) -> Iterator[None]:
    """The notebook with its own scripts, but for an idle time and a look of seconds."""
    sagemaker = platform.client("sagemaker")
    own = described(platform, name)["NotebookInstanceLifecycleConfigName"]
    hooks = sagemaker.describe_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=own
    )

    def faster(hook: str) -> list[dict[str, str]]:
        script = base64.b64decode(hooks[hook][0]["Content"]).decode()
        for setting, seconds in (("idle_seconds", 4), ("interval_seconds", 1)):
            script, changed = re.subn(rf'"{setting}":\d+', f'"{setting}":{seconds}', script)
            assert changed == 1
        return [{"Content": base64.b64encode(script.encode()).decode()}]

    sagemaker.create_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName="hurried",
        OnCreate=faster("OnCreate"),
        OnStart=faster("OnStart"),
    )
    reached(platform, name, "InService")
    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    reached(platform, name, "Stopped")
    sagemaker.update_notebook_instance(NotebookInstanceName=name, LifecycleConfigName="hurried")
    reached(platform, name, "Stopped")
    yield
    reached(platform, name, "Stopped")
    sagemaker.update_notebook_instance(NotebookInstanceName=name, LifecycleConfigName=own)
    reached(platform, name, "Stopped")
    sagemaker.delete_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName="hurried"
    )
    sagemaker.start_notebook_instance(NotebookInstanceName=name)
    reached(platform, name, "InService")


def _reported(platform: LocalPlatform, name: str, metric: str) -> float | None:
    now = datetime.now(UTC)
    found = platform.client("cloudwatch").get_metric_statistics(
        Namespace=NAMESPACE,
        MetricName=metric,
        Dimensions=[{"Name": "NotebookInstanceName", "Value": name}],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    return max((one["Maximum"] for one in found), default=None)


@pytest.mark.usefixtures("hurried")
def test_it_installs_its_packages_reports_its_activity_and_stops_when_idle(
    platform: LocalPlatform, name: str
) -> None:
    s3, bucket = platform.client("s3"), platform.parameter("storage/data-bucket")
    prefix = "notebooks/workbench/packages"
    s3.put_object(Bucket=bucket, Key=f"{prefix}/requirements.txt", Body=b"smp_sample==1.0\n")
    s3.put_object(
        Bucket=bucket, Key=f"{prefix}/{file_name('smp_sample')}", Body=wheel("smp_sample")
    )
    platform.client("sagemaker").start_notebook_instance(NotebookInstanceName=name)
    # Nobody but its own agent stops it.
    reached(platform, name, "Stopped")
    for metric in ("BusyKernels", "BusyTerminals", "BusyProcesses", "CPUUtilization"):
        assert _reported(platform, name, metric) is not None, metric
    idle = _reported(platform, name, "IdleSeconds")
    assert idle is not None
    assert idle >= 4
    home = platform.home / "state" / "sagemaker" / "notebooks" / name / "home"
    assert [*Path(home).glob("anaconda3/envs/python3/lib/python*/site-packages/smp_sample.py")]
