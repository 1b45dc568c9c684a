"""Code repositories, and their clones in a notebook's volume."""

import json
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.sagemaker.arns import Arns
from local.sagemaker.errors import ServiceError
from local.sagemaker.notebooks import repositories
from local.sagemaker.roles import Role
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.notebooks import create, script, settled
from tests.unit.sagemaker.surroundings import ACCOUNT, REGION, ROLE, TestAws

URL = "https://git.example.com/team/samples.git"


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in a folder, which stands in for the one at the URL."""
    folder = tmp_path / "origin"
    folder.mkdir()

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "--quiet", "--initial-branch=main")
    (folder / "first.ipynb").write_text("main")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    git("checkout", "--quiet", "-b", "next")
    (folder / "first.ipynb").write_text("next")
    git("commit", "--quiet", "-a", "-m", "next")
    git("checkout", "--quiet", "main")
    monkeypatch.setenv("SMP_REPOSITORIES", json.dumps({URL: str(folder)}))
    return folder


def repository(sagemaker: SageMakerService, name: str, **git: str) -> str:
    sagemaker.call(
        "CreateCodeRepository",
        {"CodeRepositoryName": name, "GitConfig": {"RepositoryUrl": URL, **git}},
    )
    return name


def test_a_notebook_starts_with_its_repositories_cloned_and_keeps_what_was_changed_in_them(
    sagemaker: SageMakerService, origin: Path, tmp_path: Path
) -> None:
    # A name's clone is in a folder of the name; on-create finds both.
    config = script(
        sagemaker, "fails", OnCreate="#!/bin/bash\ncat SageMaker/*/first.ipynb\nexit 9\n"
    )
    create(
        sagemaker,
        "one",
        DefaultCodeRepository=URL,
        AdditionalCodeRepositories=[repository(sagemaker, "coming", Branch="next")],
        LifecycleConfigName=config,
    )
    assert "exit code 9" in settled(sagemaker, "one")["FailureReason"]
    volume = tmp_path / "state" / "notebooks" / "one" / "home" / "SageMaker"
    assert (volume / "samples" / "first.ipynb").read_text() == "main"
    assert (volume / "coming" / "first.ipynb").read_text() == "next"
    (volume / "samples" / "first.ipynb").write_text("mine")
    sagemaker.call(
        "UpdateNotebookInstanceLifecycleConfig",
        {
            "NotebookInstanceLifecycleConfigName": config,
            "OnStart": [{"Content": "ZXhpdCA4"}],
        },
    )
    sagemaker.call("StartNotebookInstance", {"NotebookInstanceName": "one"})
    assert "exit code 8" in settled(sagemaker, "one")["FailureReason"]
    assert (volume / "samples" / "first.ipynb").read_text() == "mine"
    same = {
        "NotebookInstanceName": "one",
        "AdditionalCodeRepositories": ["https://elsewhere.example.com/samples"],
    }
    with pytest.raises(ServiceError, match="different folders"):
        sagemaker.call("UpdateNotebookInstance", same)
    sagemaker.call("UpdateNotebookInstance", {**same, "DisassociateDefaultCodeRepository": True})


@pytest.mark.parametrize(
    ("repository", "because"),
    [
        ("https://127.0.0.1:1/team/none.git", "127.0.0.1"),
        ("branch", "Remote branch nowhere not found"),
        ("secret", "secretsmanager"),
        ("wordless", '"username"'),
    ],
)
def test_a_repository_that_cannot_be_had_fails_the_instance_with_the_reason(
    sagemaker: SageMakerService, origin: Path, repository: str, because: str
) -> None:
    secrets = boto3.client("secretsmanager", region_name=REGION)
    wordless = secrets.create_secret(Name="wordless", SecretString="abc")["ARN"]
    missing = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:none"
    for name, git in {
        "branch": {"Branch": "nowhere"},
        "secret": {"SecretArn": missing},
        "wordless": {"SecretArn": wordless},
    }.items():
        config = {"RepositoryUrl": URL, **git}
        sagemaker.call("CreateCodeRepository", {"CodeRepositoryName": name, "GitConfig": config})
    create(sagemaker, "one", DefaultCodeRepository=repository)
    failed = settled(sagemaker, "one")
    assert failed["NotebookInstanceStatus"] == "Failed"
    assert because in failed["FailureReason"]


def test_git_is_given_the_secret_and_none_of_the_persons_own(
    aws: TestAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = boto3.client("secretsmanager", region_name=REGION)
    text = json.dumps({"username": "ann", "password": "p w"})
    arn = secrets.create_secret(Name="git", SecretString=text)["ARN"]
    role = Role(aws, Arns(REGION, ACCOUNT), ROLE)
    settings = tmp_path / "gitconfig"
    settings.write_text('[credential]\n\thelper = "!echo username=me; echo password=mine; :"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    for secret, expected in ((arn, ["password=p w", "username=ann"]), ("", [])):
        git = {"RepositoryUrl": "https://git.example.com/x", "SecretArn": secret}
        login = repositories.login(git, role)
        asked = subprocess.run(
            [*repositories.git_command(login), "credential", "fill"],
            env=repositories.git_environment(login, tmp_path),
            input="protocol=https\nhost=git.example.com\n\n",
            capture_output=True,
            text=True,
            check=False,
        )
        answered = [line for line in asked.stdout.splitlines() if line[:4] in ("user", "pass")]
        assert sorted(answered) == expected, asked.stderr


def test_repositories_are_described_listed_updated_and_deleted(
    sagemaker: SageMakerService,
) -> None:
    name: dict[str, Any] = {"CodeRepositoryName": repository(sagemaker, "one", Branch="main")}
    repository(sagemaker, "another")
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:git"
    sagemaker.call("UpdateCodeRepository", {**name, "GitConfig": {"SecretArn": secret}})
    found = sagemaker.call("DescribeCodeRepository", name)
    assert found["GitConfig"] == {"RepositoryUrl": URL, "Branch": "main", "SecretArn": secret}
    listed = sagemaker.call("ListCodeRepositories", {})["CodeRepositorySummaryList"]
    assert [each["CodeRepositoryName"] for each in listed] == ["another", "one"]
    sagemaker.call("DeleteCodeRepository", name)
    with pytest.raises(ServiceError, match=r"^Cannot find CodeRepository"):
        sagemaker.call("DescribeCodeRepository", name)
    with pytest.raises(ServiceError, match=r"repositoryUrl.* failed to satisfy constraint"):
        sagemaker.call(
            "CreateCodeRepository",
            {"CodeRepositoryName": "x", "GitConfig": {"RepositoryUrl": "file:///somewhere"}},
        )
