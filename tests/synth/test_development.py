import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk.assertions import Match, Template

from environments.prices import prices
from sagemaker_constructs import notebook_permissions
from sagemaker_constructs.notebook_files import MAX_CHARACTERS, NotebookFiles
from tests.synth.conftest import ROOT, declare

PLAIN = "sagemaker-platform-test-plain"
SHARED = "sagemaker-platform-test-shared"
# Permissions that no call from inside of the notebook asks for.
NO_CALLS = ("ec2:", "iam:", "kms:")


@pytest.fixture(scope="module")
def template(templates: dict[str, Template]) -> Template:
    return templates["development"]


def _statements(template: Template, notebook: str) -> dict[str, dict[str, Any]]:
    """Statements of a notebook's role, by their names."""
    (role,) = (
        role
        for role in template.find_resources("AWS::IAM::Role").values()
        if notebook in role["Properties"]["Description"]
    )
    (policy,) = role["Properties"]["Policies"]
    return {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """What a part of a template says, references as they are."""
    if isinstance(value, dict) and "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(_text(part) for part in parts)
    return value if isinstance(value, str) else json.dumps(value)


def test_a_notebook_is_isolated_encrypted_and_without_root(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SageMaker::NotebookInstance",
        {
            "NotebookInstanceName": PLAIN,
            "InstanceType": "ml.t3.medium",
            "VolumeSizeInGB": 20,
            "DirectInternetAccess": "Disabled",
            "RootAccess": "Disabled",
            "PlatformIdentifier": "notebook-al2023-v1",
            "InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": "2"},
            "KmsKeyId": Match.any_value(),
            "SubnetId": Match.any_value(),
            "SecurityGroupIds": [Match.any_value()],
            "LifecycleConfigName": Match.any_value(),
            "DefaultCodeRepository": Match.absent(),
        },
    )


def test_a_notebook_clones_the_repository_of_the_file(template: Template) -> None:
    template.has_resource_properties(
        "AWS::SageMaker::CodeRepository",
        {
            "GitConfig": {
                "RepositoryUrl": {
                    "Fn::Join": [
                        "",
                        [
                            "https://git-codecommit.eu-west-1.",
                            {"Ref": "AWS::URLSuffix"},
                            "/v1/repos/team-notebooks",
                        ],
                    ]
                }
            }
        },
    )
    template.has_resource_properties(
        "AWS::SageMaker::NotebookInstance",
        {"NotebookInstanceName": SHARED, "DefaultCodeRepository": Match.any_value()},
    )
    assert _statements(template, SHARED)["CodeRepository"]["Action"] == [
        "codecommit:GitPull",
        "codecommit:GitPush",
    ]
    assert "CodeRepository" not in _statements(template, PLAIN)


def test_each_notebook_reads_and_writes_its_own_prefix_alone(template: Template) -> None:
    for notebook, prefix in ((PLAIN, "notebooks/plain/"), (SHARED, "notebooks/shared/")):
        statements = _statements(template, notebook)
        own = _text(statements["OwnData"]["Resource"])
        assert own.endswith(f"/{prefix}*")
        assert statements["ListOwnData"]["Condition"] == {"StringLike": {"s3:prefix": f"{prefix}*"}}
        writing = [one for one in statements.values() if "s3:PutObject" in _list(one["Action"])]
        assert writing == [statements["OwnData"]]


def test_of_the_bucket_of_bootstrap_a_notebook_reads_its_files_alone(template: Template) -> None:
    resource = _text(_statements(template, PLAIN)["ReadFiles"]["Resource"])
    assert re.search(r"cdk-hnb659fds-assets-\S+/[0-9a-f]{64}\.zip$", resource)


def test_a_notebook_stops_itself_and_no_other(template: Template) -> None:
    for notebook in (PLAIN, SHARED):
        stopping = [
            one
            for one in _statements(template, notebook).values()
            if "sagemaker:StopNotebookInstance" in _list(one["Action"])
        ]
        (resource,) = (_text(one["Resource"]) for one in stopping)
        assert resource.endswith(f":notebook-instance/{notebook}")


def test_metrics_are_published_in_the_notebooks_namespace_alone(template: Template) -> None:
    publishing = [
        one
        for one in _statements(template, PLAIN).values()
        if "cloudwatch:PutMetricData" in _list(one["Action"])
    ]
    assert [one["Condition"] for one in publishing] == [
        {"StringEquals": {"cloudwatch:namespace": notebook_permissions.NAMESPACE}}
    ]


@pytest.mark.parametrize("notebook", [PLAIN, SHARED])
def test_a_notebook_creates_tags_and_deletes_nothing_in_sagemaker_and_hands_on_no_role(
    template: Template, notebook: str
) -> None:
    actions = {
        action for one in _statements(template, notebook).values() for action in one["Action"]
    }
    changing = re.compile(r"(iam:|sagemaker:(Create|Update|Delete|Add)).*")
    assert [action for action in actions if changing.fullmatch(action)] == []


def test_jobs_that_a_notebook_follows_and_stops_are_those_of_its_environment(
    template: Template,
) -> None:
    statement = _statements(template, PLAIN)["FollowJobs"]
    assert statement["Action"] == ["sagemaker:DescribeTrainingJob", "sagemaker:StopTrainingJob"]
    assert _text(statement["Resource"]).endswith(":training-job/test-*")


@pytest.mark.parametrize(("notebook", "repository"), [(PLAIN, False), (SHARED, True)])
def test_the_network_carries_what_the_role_may_call_and_nothing_else(
    template: Template, notebook: str, repository: bool
) -> None:
    allowed = {
        action
        for one in _statements(template, notebook).values()
        for action in _list(one["Action"])
        if not action.startswith(NO_CALLS)
    }
    # Whose role one has may be asked without a permission.
    allowed |= {"sts:GetCallerIdentity"}
    assert set(notebook_permissions.calls(repository=repository)) == allowed


def test_the_network_of_notebooks_is_one_zone_with_the_endpoints_that_they_need(
    templates: dict[str, Template],
) -> None:
    network = templates["network"]
    assert len(network.find_resources("AWS::EC2::Subnet")) == 1
    network.resource_count_is("AWS::EC2::InternetGateway", 0)
    network.resource_count_is("AWS::EC2::NatGateway", 0)
    services = {}
    for endpoint in network.find_resources("AWS::EC2::VPCEndpoint").values():
        properties = endpoint["Properties"]
        # The region is a name, or a reference to it.
        service = re.sub(
            r"com\.amazonaws\.(eu-west-1|{.*?})\.", "", _text(properties["ServiceName"])
        )
        services[service] = properties["VpcEndpointType"]
        for statement in properties["PolicyDocument"]["Statement"]:
            assert "*" not in _list(statement["Action"])
            assert statement["Condition"]["StringEquals"]["aws:PrincipalAccount"] == "111122223333"
    assert services.pop("s3") == "Gateway"
    assert services == dict.fromkeys(
        [
            "git-codecommit",
            "logs",
            "monitoring",
            "sagemaker.api",
            "sagemaker.runtime",
            "states",
            "sts",
        ],
        "Interface",
    )


def test_nothing_comes_into_a_notebook_and_only_https_leaves_it(
    templates: dict[str, Template],
) -> None:
    templates["network"].has_resource_properties(
        "AWS::EC2::SecurityGroup",
        {
            "GroupDescription": "Notebook instances",
            "SecurityGroupIngress": Match.absent(),
            "SecurityGroupEgress": [
                Match.object_like({"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443})
            ],
        },
    )


def test_in_a_private_network_notebooks_have_the_same_endpoints_and_a_group_of_their_own(
    environment: dict[str, Any], functions: Path
) -> None:
    stacks = declare({**environment, "network": {"mode": "private"}}, functions)
    network = Template.from_stack(stacks["network"])
    groups = network.find_resources("AWS::EC2::SecurityGroup").values()
    assert {group["Properties"]["GroupDescription"] for group in groups} == {
        "Endpoints of AWS services",
        "Hosts of training jobs",
        "Instances of endpoints",
        "Notebook instances",
    }
    endpoints = network.find_resources("AWS::EC2::VPCEndpoint").values()
    assert len(endpoints) == 8
    assert {len(one["Properties"].get("SubnetIds", [1, 2])) for one in endpoints} == {2}
    assert "development" in stacks


def _scripts(template: Template) -> dict[str, str]:
    """The deployed scripts with short names in place of references."""
    (first, *_) = template.find_resources(
        "AWS::SageMaker::NotebookInstanceLifecycleConfig"
    ).values()
    return {
        hook: _text(first["Properties"][hook][0]["Content"]["Fn::Base64"])
        for hook in ("OnCreate", "OnStart")
    }


def test_scripts_are_told_by_the_stack_and_stay_within_sagemakers_limit(
    template: Template,
) -> None:
    for script in _scripts(template).values():
        assert "@SETTINGS@" not in script
        # References are longer here than the names that they become.
        assert len(base64.b64encode(script.encode())) <= MAX_CHARACTERS
        assert "\r" not in script
        settings = re.search(r"^SETTINGS='(.*)'$", script, re.MULTILINE)
        assert settings
        assert '"interval_seconds":60' in settings[1]
        assert "'" not in settings[1]


def test_notebooks_are_told_what_an_hour_costs_from_the_table_of_prices(template: Template) -> None:
    text = _scripts(template)["OnStart"]
    found = re.search(r'"prices":(\{.*?\}\})', text)
    assert found
    told = json.loads(found[1])
    assert told["as_of"] == prices().read_on.isoformat()
    assert told["training"] == {"ml.m5.xlarge": 0.257}
    assert {price for _, price in told["endpoints"].values()} <= {0.128, 0.257, "unknown"}


def test_the_idle_time_is_the_files(template: Template) -> None:
    configs = template.find_resources("AWS::SageMaker::NotebookInstanceLifecycleConfig")
    said = set()
    for config in configs.values():
        script = _text(config["Properties"]["OnStart"][0]["Content"]["Fn::Base64"])
        said |= {int(found) for found in re.findall(r'"idle_seconds":(\d+)', script)}
    assert said == {3600, 1800}


@pytest.mark.parametrize("notebook", ["plain", "shared"])
def test_publishes_name_and_role(template: Template, notebook: str) -> None:
    for name in ("name", "role-arn"):
        template.has_resource_properties(
            "AWS::SSM::Parameter", {"Name": f"/sagemaker-platform/test/notebooks/{notebook}/{name}"}
        )


def _files(app: App, folder: Path) -> NotebookFiles:
    return NotebookFiles(Stack(app, "Stack"), "Files", folder=folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in (ROOT / "notebooks" / "lifecycle").glob("*.sh"):
        target = tmp_path / "lifecycle" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def test_a_script_over_the_size_is_refused(app: App, folder: Path) -> None:
    path = folder / "lifecycle" / "on_start.sh"
    path.write_text(path.read_text() + "# " + "x" * 12288 + "\n")
    files = _files(app, folder)
    with pytest.raises(
        ValueError, match=r"on_start\.sh has \d+ characters in base64; allowed: 16384"
    ):
        files.lifecycle(files, "Lifecycle", {})


def test_a_script_with_crlf_is_refused(app: App, folder: Path) -> None:
    path = folder / "lifecycle" / "on_create.sh"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    files = _files(app, folder)
    with pytest.raises(ValueError, match="CRLF; allowed: LF alone"):
        files.lifecycle(files, "Lifecycle", {})
