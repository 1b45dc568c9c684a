"""Notebook instances of the running platform, from template to a cell's own AWS calls."""

import base64
import contextlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import websocket
from botocore.exceptions import ClientError

from tests.local import browser
from tests.local.jupyter import Session
from tests.local.support import until
from tests.platform import TRUST, LocalPlatform

ALLOWED = {
    "Effect": "Allow",
    "Action": [
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sagemaker:DescribeNotebookInstance",
        "sagemaker:StopNotebookInstance",
    ],
    "Resource": "*",
}


@pytest.fixture(scope="module")
def role(platform: LocalPlatform) -> Iterator[str]:
    iam, name = platform.client("iam"), f"notebook-{uuid4().hex[:8]}"
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    policy = {"Version": "2012-10-17", "Statement": [ALLOWED]}
    iam.put_role_policy(RoleName=name, PolicyName="notebook", PolicyDocument=json.dumps(policy))
    yield made["Arn"]
    iam.delete_role_policy(RoleName=name, PolicyName="notebook")
    iam.delete_role(RoleName=name)


def described(platform: LocalPlatform, name: str) -> dict[str, Any]:
    found: dict[str, Any] = platform.client("sagemaker").describe_notebook_instance(
        NotebookInstanceName=name
    )
    return found


def reached(platform: LocalPlatform, name: str, *statuses: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = described(platform, name)
        return found if found["NotebookInstanceStatus"] in statuses else None

    found = until(look, f"{name} {statuses}", 90)
    assert found
    return found


def encoded(script: str) -> str:
    return base64.b64encode(script.encode()).decode()


def template(role: str, **changes: Any) -> str:
    """A notebook with its script and its repository, as a team would declare them."""
    on_start = f"#!/bin/bash\nset -e\necho started {changes.pop('word', 'first')}\n"
    url = changes.pop("url", "https://git.example.com/team/a.git")
    resources = {
        "Scripts": {
            "Type": "AWS::SageMaker::NotebookInstanceLifecycleConfig",
            "Properties": {"OnStart": [{"Content": encoded(on_start)}]},
        },
        "Repository": {
            "Type": "AWS::SageMaker::CodeRepository",
            "Properties": {"GitConfig": {"RepositoryUrl": url, "Branch": "main"}},
        },
        "Notebook": {
            "Type": "AWS::SageMaker::NotebookInstance",
            "Properties": {
                "InstanceType": "ml.t3.medium",
                "RoleArn": role,
                "VolumeSizeInGB": "10",
                "LifecycleConfigName": {
                    "Fn::GetAtt": ["Scripts", "NotebookInstanceLifecycleConfigName"]
                },
                "Tags": [{"Key": "team", "Value": "a"}],
                **changes,
            },
        },
    }
    outputs = {
        "Notebook": {"Value": {"Ref": "Notebook"}},
        "NotebookName": {"Value": {"Fn::GetAtt": ["Notebook", "NotebookInstanceName"]}},
        "Scripts": {"Value": {"Ref": "Scripts"}},
        "RepositoryName": {"Value": {"Fn::GetAtt": ["Repository", "CodeRepositoryName"]}},
    }
    return json.dumps({"Resources": resources, "Outputs": outputs})


class Stack:
    def __init__(self, platform: LocalPlatform) -> None:
        self.client = platform.client("cloudformation")
        self.name = f"notebooks-{uuid4().hex[:8]}"

    def create(self, body: str) -> dict[str, str]:
        self.client.create_stack(StackName=self.name, TemplateBody=body)
        return self._settled("CREATE_COMPLETE")

    def update(self, body: str, wanted: str = "UPDATE_COMPLETE") -> dict[str, str]:
        self.client.update_stack(StackName=self.name, TemplateBody=body)
        return self._settled(wanted)

    def delete(self) -> None:
        self.client.delete_stack(StackName=self.name)
        self.client.get_waiter("stack_delete_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )

    def reasons(self) -> list[str]:
        events = self.client.describe_stack_events(StackName=self.name)["StackEvents"]
        return [e["ResourceStatusReason"] for e in events if e.get("ResourceStatusReason")]

    def _settled(self, wanted: str) -> dict[str, str]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.client.describe_stacks(StackName=self.name)["Stacks"][0]
            return None if found["StackStatus"].endswith("_IN_PROGRESS") else found

        found = until(look, f"stack {self.name}", 120)
        assert found
        assert found["StackStatus"] == wanted, self.reasons()
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


@pytest.fixture(scope="module")
def notebook(platform: LocalPlatform, role: str) -> Iterator[str]:
    """A notebook in service, for all tests that do not change it."""
    sagemaker, name = platform.client("sagemaker"), f"Open-{uuid4().hex[:8]}"
    sagemaker.create_notebook_instance(
        NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=role
    )
    found = reached(platform, name, "InService", "Failed")
    assert found["NotebookInstanceStatus"] == "InService", found.get("FailureReason")
    yield name
    if reached(platform, name, "InService", "Stopped")["NotebookInstanceStatus"] == "InService":
        sagemaker.stop_notebook_instance(NotebookInstanceName=name)
        reached(platform, name, "Stopped")
    sagemaker.delete_notebook_instance(NotebookInstanceName=name)


def presigned(platform: LocalPlatform, name: str) -> str:
    answer = platform.client("sagemaker").create_presigned_notebook_instance_url(
        NotebookInstanceName=name
    )
    return str(answer["AuthorizedUrl"])


def test_a_cell_acts_as_the_notebooks_role_and_may_no_more_than_it(
    platform: LocalPlatform, role: str, notebook: str
) -> None:
    session = Session(presigned(platform, notebook))
    printed = session.run(
        "\n".join(
            [
                "import boto3, json, os",
                "found = {'arn': boto3.client('sts').get_caller_identity()['Arn']}",
                "credentials = boto3.Session().get_credentials()",
                "found['method'] = credentials.method",
                "found['refreshed'] = credentials.refresh_needed(refresh_in=7200)",
                "try:",
                "    boto3.client('s3').list_buckets()",
                "except Exception as error:",
                "    found['refused'] = str(error)",
                "metadata = json.load(open(os.environ['SMP_NOTEBOOK_METADATA']))",
                "found['name'] = metadata['ResourceName']",
                "found['secrets'] = sorted(k for k in os.environ if 'SECRET' in k)",
                "print(json.dumps(found))",
            ]
        )
    )
    found = json.loads(printed)
    name = role.rpartition("/")[2]
    assert f":assumed-role/{name}/" in found["arn"]
    # A session of hours outlives its first credentials.
    assert (found["method"], found["refreshed"]) == ("container-role", True)
    assert "AccessDenied" in found["refused"]
    assert found["name"] == notebook
    assert found["secrets"] == []


def test_a_person_opens_the_notebook_in_a_browser_and_runs_a_cell_as_its_role(
    platform: LocalPlatform, role: str, notebook: str
) -> None:
    cell = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    with browser.page() as page:
        page.goto(presigned(platform, notebook))
        page.locator(".jp-LauncherCard[data-category='Notebook'] >> text=Python 3").first.click()
        page.get_by_text(re.compile(r"^Python 3 .*\| Idle$")).wait_for(timeout=60_000)
        page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
        page.keyboard.insert_text(cell)
        page.keyboard.press("Shift+Enter")
        printed = page.locator(".jp-OutputArea-output pre").first
        printed.wait_for(timeout=60_000)
        assert f":assumed-role/{role.rpartition('/')[2]}/" in printed.inner_text()


def test_opening_a_notebook_needs_the_permission_on_it(
    platform: LocalPlatform, notebook: str
) -> None:
    iam, user = platform.client("iam"), f"visitor-{uuid4().hex[:8]}"
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    visitor = platform.client(
        "sagemaker",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    with pytest.raises(ClientError) as refused:
        visitor.create_presigned_notebook_instance_url(NotebookInstanceName=notebook)
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    assert (
        "sagemaker:CreatePresignedNotebookInstanceUrl on resource: "
        f"{described(platform, notebook)['NotebookInstanceArn']}"
    ) in str(refused.value)
    iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=user)


@pytest.mark.parametrize("token", ["", "guessed"])
def test_credentials_are_given_to_nobody_outside_of_a_notebook(
    platform: LocalPlatform, notebook: str, token: str
) -> None:
    url = f"{platform.endpoint_url}/_smp/notebook-credentials"
    request = urllib.request.Request(url, headers={"Authorization": token})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 401


def test_a_stack_makes_changes_replaces_and_removes_a_notebook(
    platform: LocalPlatform, role: str
) -> None:
    sagemaker, stack = platform.client("sagemaker"), Stack(platform)
    first = stack.create(template(role))
    name = first["NotebookName"]
    made = described(platform, name)
    assert made["NotebookInstanceStatus"] == "InService"
    assert made["NotebookInstanceArn"] == first["Notebook"]
    assert made["VolumeSizeInGB"] == 10
    tags = sagemaker.list_tags(ResourceArn=first["Notebook"])["Tags"]
    assert {"Key": "team", "Value": "a"} in tags

    # A new script is no change of the instance; it runs from the next start on.
    second = stack.update(template(role, word="second"))
    assert (second["Notebook"], second["Scripts"]) == (first["Notebook"], first["Scripts"])
    # A new type is, after a stop and with a start; another repository replaces the old.
    third = stack.update(
        template(
            role, word="second", InstanceType="ml.t3.large", url="https://git.example.com/b.git"
        )
    )
    assert third["Notebook"] == first["Notebook"]
    assert third["RepositoryName"] != first["RepositoryName"]
    changed = described(platform, name)
    assert changed["InstanceType"] == "ml.t3.large"
    assert changed["NotebookInstanceStatus"] == "InService"
    log = platform.client("logs").get_log_events(
        logGroupName="/aws/sagemaker/NotebookInstances",
        logStreamName=f"{name}/LifecycleConfigOnStart",
        startFromHead=True,
    )["events"]
    assert [event["message"] for event in log] == ["started first", "started second"]

    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    reached(platform, name, "Stopped")
    replaced = stack.update(template(role, PlatformIdentifier="notebook-al2023-v1"))
    assert replaced["Notebook"] != first["Notebook"]
    with pytest.raises(ClientError, match="RecordNotFound"):
        described(platform, name)
    stack.delete()
    with pytest.raises(ClientError, match="RecordNotFound"):
        described(platform, replaced["NotebookName"])
    with pytest.raises(ClientError, match="Cannot find CodeRepository"):
        sagemaker.describe_code_repository(CodeRepositoryName=third["RepositoryName"])


def test_a_notebook_that_fails_fails_its_stack_with_the_reason_and_is_removed(
    platform: LocalPlatform, role: str
) -> None:
    stack, name = Stack(platform), f"broken-{uuid4().hex[:8]}"
    body = template(
        role, NotebookInstanceName=name, DefaultCodeRepository="https://127.0.0.1:1/none.git"
    )
    stack.client.create_stack(StackName=stack.name, TemplateBody=body)
    stack._settled("ROLLBACK_COMPLETE")
    assert any("Cannot clone https://127.0.0.1:1/none.git" in reason for reason in stack.reasons())
    with pytest.raises(ClientError, match="RecordNotFound"):
        described(platform, name)
    stack.delete()


def test_smp_lists_opens_stops_starts_and_reads_a_notebook(
    platform: LocalPlatform, notebook: str
) -> None:
    assert notebook in platform.smp("notebook", "list").stdout
    opened = platform.smp("notebook", "open", notebook, "--no-browser")
    assert opened.returncode == 0, opened.stderr
    assert Session(opened.stdout.strip()).api("GET", "contents")["type"] == "directory"
    assert "Jupyter Server" in platform.smp("notebook", "logs", notebook).stdout

    stopped = platform.smp("notebook", "stop", notebook)
    assert stopped.returncode == 0, stopped.stderr
    assert described(platform, notebook)["NotebookInstanceStatus"] == "Stopped"
    refused = platform.smp("notebook", "open", notebook, "--no-browser")
    assert refused.returncode == 1
    assert "It is Stopped." in refused.stderr
    assert "notebook start" in refused.stderr
    missing = platform.smp("notebook", "start", "nobody")
    assert (missing.returncode, "no notebook instance nobody" in missing.stderr) == (1, True)

    started = platform.smp("notebook", "start", notebook)
    assert started.returncode == 0, started.stderr
    assert described(platform, notebook)["NotebookInstanceStatus"] == "InService"


def test_a_cell_may_stop_its_own_notebook(platform: LocalPlatform, notebook: str) -> None:
    session = Session(presigned(platform, notebook))
    with contextlib.suppress(AssertionError, OSError, websocket.WebSocketException):
        session.run(
            "import boto3, json, os\n"
            "name = json.load(open(os.environ['SMP_NOTEBOOK_METADATA']))['ResourceName']\n"
            "boto3.client('sagemaker').stop_notebook_instance(NotebookInstanceName=name)\n"
        )
    reached(platform, notebook, "Stopped")
