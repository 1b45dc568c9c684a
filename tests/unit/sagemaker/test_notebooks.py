"""Notebook instances that run: their life, their home, their JupyterLab."""

import http.cookiejar
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.sagemaker.errors import ServiceError
from local.sagemaker.notebooks import sessions
from local.sagemaker.notebooks.home import NotebookHome
from local.sagemaker.service import SageMakerService
from quotas import table
from tests.unit.sagemaker.notebooks import alive, create, described, log, script, settled
from tests.unit.sagemaker.surroundings import REGION, ROLE, TestAws, told, until

NAME = {"NotebookInstanceName": "one"}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "state" / "notebooks" / "one" / "home" / "SageMaker"


def statuses(aws: TestAws) -> list[str]:
    return [detail["NotebookInstanceStatus"] for kind, detail, _ in aws.events]


def test_lives_through_start_stop_update_and_delete_with_what_lies_in_its_volume(
    sagemaker: SageMakerService, aws: TestAws, volume: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    lines = [
        "#!/bin/bash",
        "set -e",
        f"echo HOOK >> {ran}",
        "cd ${SMP_NOTEBOOK_HOME:-/home/ec2-user}",
        "echo kept >> SageMaker/notes",
        "test ! -e lost",
        "echo lost > lost",
        "cat ${SMP_NOTEBOOK_METADATA:-/opt/ml/metadata/resource-metadata.json} >&2",
    ]
    on_create = "\n".join(lines).replace("HOOK", "create")
    # It lives on in the background, in a session of its own, and ends with the instance.
    on_start = (
        f"#!/bin/bash\necho start >> {ran}\n"
        f"nohup setsid bash -c 'echo $$ > {tmp_path}/pid; exec sleep 600' > /dev/null 2>&1 &\n"
    )
    config = script(sagemaker, "both", OnCreate=on_create, OnStart=on_start)
    create(sagemaker, "one", LifecycleConfigName=config, Tags=[{"Key": "team", "Value": "a"}])
    first = settled(sagemaker, "one")
    assert first["NotebookInstanceStatus"] == "InService", first.get("FailureReason")
    assert ran.read_text() == "create\nstart\n"
    assert json.loads(log("one/LifecycleConfigOnCreate")[0]) == {
        "ResourceArn": first["NotebookInstanceArn"],
        "ResourceName": "one",
    }
    background = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    assert alive(background)
    (volume / "mine.ipynb").write_text("{}")

    for operation in ("DeleteNotebookInstance", "StartNotebookInstance", "UpdateNotebookInstance"):
        wanted = {"D": "Deleting", "S": "Pending", "U": "Updating"}[operation[0]]
        with pytest.raises(ServiceError) as refused:
            sagemaker.call(operation, NAME)
        assert refused.value.message == (
            f"Status (InService) not in ([Stopped, Failed]). Unable to transition to ({wanted}) "
            f"for Notebook Instance ({first['NotebookInstanceArn']})."
        )

    told(aws, "NotebookInstanceStatus", "InService")
    sagemaker.call("StopNotebookInstance", NAME)
    assert described(sagemaker, "one")["NotebookInstanceStatus"] in ("Stopping", "Stopped")
    told(aws, "NotebookInstanceStatus", "Stopped")
    assert not alive(background)
    with pytest.raises(ServiceError, match="must be InService"):
        sagemaker.call("CreatePresignedNotebookInstanceUrl", NAME)
    sagemaker.call(
        "UpdateNotebookInstance",
        {**NAME, "InstanceType": "ml.t3.large", "VolumeSizeInGB": 20, "RootAccess": "Disabled"},
    )
    changed = described(sagemaker, "one")
    assert (changed["InstanceType"], changed["VolumeSizeInGB"]) == ("ml.t3.large", 20)
    assert changed["NotebookInstanceLifecycleConfigName"] == "both"
    with pytest.raises(ServiceError, match="cannot be made smaller"):
        sagemaker.call("UpdateNotebookInstance", {**NAME, "VolumeSizeInGB": 10})

    sagemaker.call("StartNotebookInstance", NAME)
    assert settled(sagemaker, "one")["NotebookInstanceStatus"] == "InService"
    assert ran.read_text() == "create\nstart\nstart\n"
    assert (volume / "mine.ipynb").exists()
    assert (volume / "notes").read_text() == "kept\n"
    assert not (volume.parent / "lost").exists()

    told(aws, "NotebookInstanceStatus", "InService")
    sagemaker.call("StopNotebookInstance", NAME)
    told(aws, "NotebookInstanceStatus", "Stopped")
    sagemaker.call("UpdateNotebookInstance", {**NAME, "DisassociateLifecycleConfig": True})
    assert "NotebookInstanceLifecycleConfigName" not in described(sagemaker, "one")
    sagemaker.call("DeleteNotebookInstance", NAME)
    until(lambda: not volume.exists())
    until(lambda: not sagemaker.call("ListNotebookInstances", {})["NotebookInstances"])
    with pytest.raises(ServiceError, match=r"^RecordNotFound$"):
        described(sagemaker, "one")
    assert statuses(aws) == [
        *("Pending", "InService", "Stopping", "Stopped", "Updating", "Stopped"),
        *("Pending", "InService", "Stopping", "Stopped", "Updating", "Stopped", "Deleting"),
    ]


def test_events_have_the_shape_in_which_aws_sends_them(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    config = script(sagemaker, "fails", OnCreate="#!/bin/bash\nexit 1\n")
    create(sagemaker, "One", LifecycleConfigName=config, Tags=[{"Key": "Env", "Value": "dev"}])
    settled(sagemaker, "One")
    kind, detail, resources = aws.events[0]
    assert kind == "SageMaker Notebook Instance State Change"
    assert resources == ["arn:aws:sagemaker:us-east-1:000000000000:notebook-instance/One"]
    assert detail["NotebookInstanceName"] == "One"
    assert isinstance(detail["CreationTime"], int)
    assert isinstance(detail["LastModifiedTime"], int)
    assert detail["Tags"] == {"Env": "dev"}
    assert set(detail) == {
        *("NotebookInstanceArn", "NotebookInstanceName", "NotebookInstanceStatus", "InstanceType"),
        *("RoleArn", "NotebookInstanceLifecycleConfigName", "LastModifiedTime", "CreationTime"),
        *("DirectInternetAccess", "Tags"),
    }


@pytest.fixture
def open_notebook(sagemaker: SageMakerService) -> Iterator[dict[str, Any]]:
    create(sagemaker, "one")
    yield settled(sagemaker, "one")


def test_a_presigned_url_opens_jupyterlab_and_nothing_else_does(
    sagemaker: SageMakerService, open_notebook: dict[str, Any], volume: Path
) -> None:
    assert open_notebook["NotebookInstanceStatus"] == "InService"
    (volume / "seen.txt").write_text("hello")
    url = sagemaker.call(
        "CreatePresignedNotebookInstanceUrl", {**NAME, "SessionExpirationDurationInSeconds": 1800}
    )["AuthorizedUrl"]
    base = f"http://{open_notebook['Url']}"
    assert url.startswith(f"{base}/lab?authToken=")

    opener = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    )
    with opener.open(url) as page:
        assert page.geturl().startswith(f"{base}/lab")
        assert b"JupyterLab" in page.read()
    # The cookie opens what the URL opened.
    with opener.open(f"{base}/api/contents") as answer:
        assert [each["name"] for each in json.load(answer)["content"]] == ["seen.txt"]

    # The samples are offered, to be chosen and copied, and the kernels say what they are.
    with opener.open(f"{base}/templates/names") as answer:
        offered = json.load(answer)
    assert offered["template_label"] == "SageMaker Examples"
    names = [each["name"] for each in offered["templates"]["sagemaker-platform"]]
    assert "/sagemaker-platform/1_first_training_job.ipynb" in names
    with opener.open(f"{base}/api/kernelspecs") as answer:
        kernels = json.load(answer)["kernelspecs"]
    assert {name: each["spec"]["display_name"] for name, each in kernels.items()} == {
        "conda_python3": "conda_python3",
        "python3": "Python 3 (the same as conda_python3)",
    }

    token = url.partition("authToken=")[2]
    until_when, _, nonce, signature = token.split(".")
    longer = f"{until_when}.43200.{nonce}.{signature}"
    for bad in ("", "?authToken=", f"?authToken={longer}", "?authToken=x", "?authToken=a.b.c.d"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{base}/api/contents{bad}")
        assert refused.value.code == 403
    # Neither token is in the log that others read.
    own = next((volume.parent / ".local/share/jupyter/runtime").glob("jpserver-*.json"))
    secret = json.loads(own.read_text())["token"]
    printed = until(lambda: [line for line in log("one/jupyter.log") if "running at" in line])
    assert printed
    assert secret not in "\n".join(log("one/jupyter.log"))
    assert signature not in "\n".join(log("one/jupyter.log"))
    # What runs in the notebook uses the server's own.
    own_token = {"Authorization": f"token {secret}"}
    request = urllib.request.Request(f"{base}/api/kernels", headers=own_token)
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer) == []


def test_jupyterlab_opens_at_what_explains_the_samples(
    sagemaker: SageMakerService, open_notebook: dict[str, Any], volume: Path
) -> None:
    (volume / "sagemaker-platform").mkdir()
    (volume / "sagemaker-platform" / "README.md").write_text("# Samples")
    url = sagemaker.call("CreatePresignedNotebookInstanceUrl", NAME)["AuthorizedUrl"]
    path = "/lab/tree/sagemaker-platform/README.md"
    assert url.startswith(f"http://{open_notebook['Url']}{path}?authToken=")


def test_a_kernel_has_what_the_first_cell_of_a_notebook_of_aws_imports(tmp_path: Path) -> None:
    home = NotebookHome(tmp_path / "one")
    home.renew({"NotebookInstanceArn": "arn", "NotebookInstanceName": "one"})
    modules = ("sagemaker.train", "sagemaker.serve", "pandas", "ipywidgets", "matplotlib")
    code = f"import importlib.util as u; print([n for n in {modules} if not u.find_spec(n)])"
    python = home.environment / "bin" / "python"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    settings = (home.path / ".config/sagemaker/config.yaml").read_text()
    assert "TelemetryOptOut: true" in settings


def test_jupyterlab_comes_up_again_when_it_dies(
    sagemaker: SageMakerService, open_notebook: dict[str, Any], volume: Path
) -> None:
    (file,) = (volume.parent / ".local/share/jupyter/runtime").glob("jpserver-*.json")
    pid = json.loads(file.read_text())["pid"]
    os.kill(pid, 9)
    until(lambda: not alive(pid))

    def answers() -> bool:
        url = sagemaker.call("CreatePresignedNotebookInstanceUrl", NAME)["AuthorizedUrl"]
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    until(answers)
    assert described(sagemaker, "one")["NotebookInstanceStatus"] == "InService"


def test_a_token_opens_until_its_time_is_over_and_only_with_its_secret() -> None:
    token = sessions.token("secret", opens_until=1000, session_seconds=1800)
    assert sessions.session_seconds("secret", token, 999) == 1800
    assert sessions.session_seconds("secret", token, 1000) is None
    assert sessions.session_seconds("other", token, 999) is None
    unsigned = sessions.token("", opens_until=1000, session_seconds=1)
    assert sessions.session_seconds("", unsigned, 9) is None
    assert sessions.session_seconds("secret", "no token", 999) is None


def test_the_cookie_of_a_session_is_worth_nothing_after_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from local.sagemaker.notebooks import identity

    provider = identity.SessionIdentityProvider()
    user = identity._SessionUser(username="ec2-user")
    user.ends = 2000.0
    monkeypatch.setattr(time, "time", lambda: 1999.0)
    cookie = provider.user_to_cookie(user)
    assert (provider.user_from_cookie(cookie) or user).username == "ec2-user"
    monkeypatch.setattr(time, "time", lambda: 2000.0)
    assert provider.user_from_cookie(cookie) is None


def test_what_cannot_be_is_refused_before_anything_is_kept(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnet = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"][0]
    other = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_security_group(GroupName="x", Description="x", VpcId=other)["GroupId"]
    kms = boto3.client("kms", region_name=REGION)
    disabled = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=disabled)
    aws.unassumable.add("arn:aws:iam::000000000000:role/none")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"DirectInternetAccess": "Disabled"}, "only with a SubnetId"),
        ({"SecurityGroupIds": [foreign]}, "need a SubnetId"),
        ({"SubnetId": "subnet-00000000"}, "subnet-00000000.* does not exist"),
        ({"SubnetId": subnet["SubnetId"], "SecurityGroupIds": ["sg-0000"]}, "sg-0000.* not exist"),
        (
            {"SubnetId": subnet["SubnetId"], "SecurityGroupIds": [foreign]},
            "belong to different networks",
        ),
        ({"RoleArn": "arn:aws:iam::000000000000:role/none"}, "AssumeRole"),
        ({"KmsKeyId": "00000000-0000-0000-0000-000000000000"}, "cannot be used"),
        ({"KmsKeyId": disabled}, "it is Disabled"),
        ({"LifecycleConfigName": "none"}, "does not exist"),
        ({"DefaultCodeRepository": "none"}, "Cannot find CodeRepository"),
        (
            {
                "DefaultCodeRepository": "https://a.example/x.git",
                "AdditionalCodeRepositories": ["https://b.example/x"],
            },
            "different folders",
        ),
        ({"AcceleratorTypes": ["ml.eia2.medium"]}, "no longer available"),
        ({"PlatformIdentifier": "notebook-al1-v1"}, "retired"),
        ({"PlatformIdentifier": "notebook-al2-v1"}, "retired.* use notebook-al2023-v1"),
        ({"PlatformIdentifier": "notebook-al2-v2"}, "retired.* use notebook-al2023-v1"),
        ({"PlatformIdentifier": "notebook-al9"}, "failed to satisfy constraint"),
        ({"VolumeSizeInGB": 4}, "greater than or equal to 5"),
        ({"InstanceType": "ml.m5.tiny"}, "enum value set"),
        ({"Tags": [{"Key": "aws:x", "Value": "y"}]}, "reserved"),
    ]
    for changes, message in cases:
        with pytest.raises(ServiceError, match=message) as refused:
            create(sagemaker, "one", **changes)
        assert refused.value.code == "ValidationException", changes
    assert sagemaker.call("ListNotebookInstances", {})["NotebookInstances"] == []
    assert not aws.events
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert not [each for each in interfaces if "Notebook Instance" in each["Description"]]


def test_an_instance_outlives_its_platform_but_is_not_started_again(
    sagemaker: SageMakerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = script(sagemaker, "fails", OnCreate="#!/bin/bash\nexit 1\n")
    in_time, later = date(2025, 6, 30), date(2025, 7, 1)
    monkeypatch.setattr(sagemaker.notebooks, "_today", lambda: in_time)
    create(sagemaker, "one", LifecycleConfigName=failing, PlatformIdentifier="notebook-al2-v2")
    assert settled(sagemaker, "one")["PlatformIdentifier"] == "notebook-al2-v2"
    monkeypatch.setattr(sagemaker.notebooks, "_today", lambda: later)
    with pytest.raises(ServiceError, match=r"retired.* ended on 2025-06-30; use notebook-al2023"):
        sagemaker.call("StartNotebookInstance", NAME)
    sagemaker.call("DeleteNotebookInstance", NAME)


def test_a_request_without_a_platform_gets_one_that_is_open(sagemaker: SageMakerService) -> None:
    failing = script(sagemaker, "fails", OnCreate="#!/bin/bash\nexit 1\n")
    create(sagemaker, "one", LifecycleConfigName=failing)
    assert settled(sagemaker, "one")["PlatformIdentifier"] == "notebook-al2023-v1"


def test_an_instance_in_a_subnet_has_an_interface_until_it_is_deleted(
    sagemaker: SageMakerService,
) -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    subnet = ec2.describe_subnets()["Subnets"][0]
    config = script(sagemaker, "fails", OnCreate="#!/bin/bash\nexit 1\n")
    create(
        sagemaker,
        "one",
        LifecycleConfigName=config,
        SubnetId=subnet["SubnetId"],
        DirectInternetAccess="Disabled",
    )
    found = settled(sagemaker, "one")
    interface = found["NetworkInterfaceId"]
    (made,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    assert made["SubnetId"] == subnet["SubnetId"]
    groups = [group["GroupId"] for group in made["Groups"]]
    assert groups == found["SecurityGroups"]
    default = ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"][0]
    assert (default["GroupName"], default["VpcId"]) == ("default", subnet["VpcId"])
    sagemaker.call("DeleteNotebookInstance", NAME)
    until(lambda: not sagemaker.call("ListNotebookInstances", {})["NotebookInstances"])
    with pytest.raises(ec2.exceptions.ClientError, match=r"NetworkInterfaceID\.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])


def test_a_creation_asks_of_its_caller_what_aws_asks(sagemaker: SageMakerService) -> None:
    request = {
        "NotebookInstanceName": "One",
        "InstanceType": "ml.t3.medium",
        "RoleArn": ROLE,
        "SubnetId": "subnet-1",
        "SecurityGroupIds": ["sg-1", "sg-2"],
        "DirectInternetAccess": "Disabled",
        "RootAccess": "Disabled",
        "KmsKeyId": "alias/disks",
        "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "2"},
    }
    needed = sagemaker.required_permissions("CreateNotebookInstance", request)
    resources = {permission.action: permission.resource for permission in needed}
    key = "arn:aws:kms:us-east-1:000000000000:alias/disks"
    assert resources == {
        "sagemaker:CreateNotebookInstance": (
            "arn:aws:sagemaker:us-east-1:000000000000:notebook-instance/One"
        ),
        "ec2:CreateNetworkInterface": "arn:aws:ec2:us-east-1:000000000000:network-interface/*",
        "ec2:DescribeVpcs": "*",
        "ec2:DescribeSubnets": "*",
        "ec2:DescribeSecurityGroups": "*",
        "ec2:DescribeNetworkInterfaces": "*",
        "kms:DescribeKey": key,
        "kms:CreateGrant": key,
        "iam:PassRole": ROLE,
    }
    assert needed[0].context == {
        "sagemaker:InstanceTypes": ["ml.t3.medium"],
        "sagemaker:DirectInternetAccess": "Disabled",
        "sagemaker:RootAccess": "Disabled",
        "sagemaker:VolumeKmsKeyArn": key,
        "sagemaker:VpcSubnets": ["subnet-1"],
        "sagemaker:VpcSecurityGroupIds": ["sg-1", "sg-2"],
        "sagemaker:MinimumInstanceMetadataServiceVersion": "2",
    }
    for operation in ("Start", "Stop", "Update", "Delete", "Describe"):
        (only,) = sagemaker.required_permissions(f"{operation}NotebookInstance", NAME)
        assert only.resource == "arn:aws:sagemaker:us-east-1:000000000000:notebook-instance/one"


def test_a_taken_name_is_refused_as_aws_refuses_it(sagemaker: SageMakerService) -> None:
    config = script(sagemaker, "fails", OnCreate="#!/bin/bash\nexit 1\n")
    create(sagemaker, "one", LifecycleConfigName=config)
    with pytest.raises(ServiceError) as refused:
        create(sagemaker, "one")
    arn = "arn:aws:sagemaker:us-east-1:000000000000:notebook-instance/one"
    assert refused.value.message == f"Cannot create a duplicate Notebook Instance ({arn})"


def test_quotas_hold_for_creation_and_start(sagemaker: SageMakerService) -> None:
    name = "ml.t3.medium for notebook instance usage"
    sagemaker.quotas.change(table.codes()[name], 1)
    gate = script(sagemaker, "waits", OnStart="#!/bin/bash\nsleep 600\n")
    fails = script(sagemaker, "fails", OnStart="#!/bin/bash\nexit 1\n")
    create(sagemaker, "one", LifecycleConfigName=fails)
    settled(sagemaker, "one")
    create(sagemaker, "two", LifecycleConfigName=gate)
    message = f"The account-level service limit '{name}' is 1 Instances, with current utilization"
    for attempt in (
        lambda: create(sagemaker, "three"),
        lambda: sagemaker.call("StartNotebookInstance", NAME),
    ):
        with pytest.raises(ServiceError) as refused:
            attempt()
        assert refused.value.code == "ResourceLimitExceeded"
        assert refused.value.message.startswith(message)
    assert described(sagemaker, "one")["NotebookInstanceStatus"] == "Failed"


def test_lists_by_name_and_by_what_only_notebooks_have(sagemaker: SageMakerService) -> None:
    for name in ("b", "a", "c"):
        config = script(sagemaker, f"fails-{name}", OnCreate="#!/bin/bash\nexit 1\n")
        create(sagemaker, name, LifecycleConfigName=config)
        settled(sagemaker, name)

    def names(**filters: object) -> list[str]:
        listed = sagemaker.call("ListNotebookInstances", filters)["NotebookInstances"]
        return [each["NotebookInstanceName"] for each in listed]

    assert names() == ["a", "b", "c"]
    assert names(SortBy="CreationTime", SortOrder="Descending") == ["c", "a", "b"]
    assert names(NotebookInstanceLifecycleConfigNameContains="fails-c") == ["c"]
    assert names(StatusEquals="InService") == []
    assert names(DefaultCodeRepositoryContains="x") == []
    page = sagemaker.call("ListNotebookInstances", {"MaxResults": 2})
    more = sagemaker.call(
        "ListNotebookInstances", {"MaxResults": 2, "NextToken": page["NextToken"]}
    )
    assert [each["NotebookInstanceName"] for each in more["NotebookInstances"]] == ["c"]


# Whether jsonschema was imported, and what makes the grammars that it has no use for here.
IMPORTED = """
import contextlib, sys
from local.sagemaker.notebooks import lab
sys.argv[1:] = ["--version"]
with contextlib.suppress(SystemExit):
    lab.main()
print("jsonschema" in sys.modules, "lark" in sys.modules)
from jupyterlab import commands
print(commands._yarn_config is lab._no_yarn)
# And that is what it asks.
commands._yarn_config = lambda logger: {"yarn config": {"registry": "asked"}}
print(commands.AppOptions().registry)
"""


def test_jupyterlab_starts_without_grammars_and_yarn_which_it_never_uses() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-3:] == ["True False", "True", "asked"]
