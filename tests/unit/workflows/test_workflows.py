import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from environments.model import Environment, names

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(path.name for path in FOLDER.glob("*.yml"))
ONE_ENVIRONMENT = "$/.github/workflows/deploy-environment.yml"
ACTION = r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
PINNED = re.compile(rf"uses: ({re.escape(ONE_ENVIRONMENT)}|{ACTION})")


def _workflow(name: str) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return content


def _steps(job: dict[str, Any], text: str) -> list[dict[str, Any]]:
    """The steps of a job that use or run what contains `text`."""
    return [
        step for step in job["steps"] if text in step.get("uses", "") + " " + step.get("run", "")
    ]


@pytest.fixture
def deploy() -> dict[Any, Any]:
    return _workflow("deploy.yml")


@pytest.fixture
def job() -> dict[str, Any]:
    """The only job of the workflow that deploys one environment."""
    (found,) = _workflow("deploy-environment.yml")["jobs"].values()
    assert isinstance(found, dict)
    return found


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).parent / "zizmor"
    result = subprocess.run(
        [zizmor, "--offline", "--quiet", "--no-progress", ".github"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_reviewer_sees_the_idle_cost_beside_the_difference() -> None:
    steps = _workflow("pull-request.yml")["jobs"]["synth"]["steps"]
    difference, cost = steps[-2:]
    assert "scripts/diff.py" in difference["run"]
    assert "scripts/cost.py --markdown --base" in cost["run"]
    assert '>> "$GITHUB_STEP_SUMMARY"' in cost["run"]


@pytest.mark.parametrize("name", FILES)
def test_actions_are_pinned_to_a_commit_with_its_version_behind_it(name: str) -> None:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    uses = [line.strip().removeprefix("- ") for line in lines if "uses:" in line]
    assert uses
    assert [line for line in uses if not PINNED.fullmatch(line)] == []


@pytest.mark.parametrize("name", FILES)
def test_only_what_deploys_may_ask_for_an_identity(name: str) -> None:
    workflow = _workflow(name)
    assert workflow["permissions"] == {}
    for key, job in workflow["jobs"].items():
        deploys = job.get("uses") == ONE_ENVIRONMENT or name == "deploy-environment.yml"
        wanted = {"contents": "read"} | ({"id-token": "write"} if deploys else {})
        assert job["permissions"] == wanted, key


def test_only_main_is_deployed(deploy: dict[Any, Any]) -> None:
    # YAML reads the key `on` as true.
    assert deploy[True] == {"push": {"branches": ["main"]}}
    assert set(_workflow("deploy-environment.yml")[True]) == {"workflow_call"}


def test_environments_follow_one_another_from_dev_to_prod(deploy: dict[Any, Any]) -> None:
    jobs = deploy["jobs"]
    assert {key: job.get("needs") for key, job in jobs.items()} == {
        "synthesize": None,
        "dev": "synthesize",
        "staging": "dev",
        "prod": "staging",
    }
    for name in ("dev", "staging", "prod"):
        assert jobs[name]["uses"] == ONE_ENVIRONMENT
        assert jobs[name]["with"] == {"environment": name}
        # A condition could let an environment pass whose predecessor failed.
        assert "if" not in jobs[name]


def test_everything_is_synthesized_once_and_before_the_first_deployment(
    deploy: dict[Any, Any], job: dict[str, Any]
) -> None:
    first = deploy["jobs"]["synthesize"]
    (synth,) = _steps(first, "make synth")
    (pack,) = _steps(first, "tar ")
    (upload,) = _steps(first, "upload-artifact")
    environments = [name for name in names() if Environment.load(name).delivery]
    made = dict(word.split("=", 1) for word in shlex.split(synth["run"]) if "=" in word)
    assert sorted(made["ENVIRONMENTS"].split()) == sorted(environments)
    assert sorted(shlex.split(pack["run"])[-3:]) == sorted(environments)
    (download,) = _steps(job, "download-artifact")
    assert download["with"]["name"] == upload["with"]["name"]
    assert not _steps(job, "synth")


def test_two_deployments_never_overlap(deploy: dict[Any, Any], job: dict[str, Any]) -> None:
    assert deploy["concurrency"] == {"group": "deploy", "cancel-in-progress": False}
    assert job["concurrency"] == {
        "group": "deploy-${{ inputs.environment }}",
        "cancel-in-progress": False,
    }


def test_a_deployment_passes_the_rules_of_its_github_environment(job: dict[str, Any]) -> None:
    assert job["environment"] == "${{ inputs.environment }}"


def test_the_assembly_is_deployed_with_the_role_of_the_delivery_stack(job: dict[str, Any]) -> None:
    (credentials,) = _steps(job, "configure-aws-credentials")
    assert credentials["with"]["role-to-assume"] == "${{ vars.DEPLOY_ROLE_ARN }}"
    (deployment,) = _steps(job, "cdk deploy")
    assert job["steps"].index(credentials) < job["steps"].index(deployment)
    command = deployment["run"]
    assert '--app "assembly/$ENVIRONMENT" --all --require-approval never' in command
    assert job["env"] == {"ENVIRONMENT": "${{ inputs.environment }}"}


def _unpack(job: dict[str, Any], folder: Path, role: str) -> "subprocess.CompletedProcess[str]":
    """Run the step that unpacks the assemblies, as the runner does."""
    (step,) = _steps(job, "tar ")
    return subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        cwd=folder,
        env={
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "GITHUB_OUTPUT": str(folder / "output"),
            "ENVIRONMENT": "dev",
            "ROLE": role,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_region_is_the_one_that_was_synthesized(
    deploy: dict[Any, Any], job: dict[str, Any], tmp_path: Path
) -> None:
    stack = {"type": "aws:cloudformation:stack", "environment": "aws://111122223333/eu-west-1"}
    manifest = {"artifacts": {"assets": {"type": "cdk:asset-manifest"}, "stack": stack}}
    for name in ("dev", "staging", "prod"):
        (tmp_path / "cdk.out" / name).mkdir(parents=True)
    (tmp_path / "cdk.out/dev/manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (pack,) = _steps(deploy["jobs"]["synthesize"], "tar ")
    subprocess.run(["bash", "-e", "-c", pack["run"]], cwd=tmp_path, check=True)
    result = _unpack(job, tmp_path, role="arn:aws:iam::111122223333:role/deploy")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "output").read_text(encoding="utf-8") == "region=eu-west-1\n"
    (credentials,) = _steps(job, "configure-aws-credentials")
    assert credentials["with"]["aws-region"] == "${{ steps.target.outputs.region }}"


def test_a_github_environment_without_its_role_is_told_where_to_find_it(
    job: dict[str, Any], tmp_path: Path
) -> None:
    result = _unpack(job, tmp_path, role="")
    assert result.returncode == 1
    assert "::error::The GitHub environment dev has no variable DEPLOY_ROLE_ARN." in result.stdout
    assert "sagemaker-platform-dev-delivery" in result.stdout
