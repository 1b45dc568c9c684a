"""Code repositories: the operations, and the clones that a notebook instance starts with."""

import json
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.sagemaker.arns import Arns
from local.sagemaker.errors import invalid
from local.sagemaker.notebooks.home import NotebookHome
from local.sagemaker.notebooks.machine import Machine
from local.sagemaker.resources import Resources, without_tags
from local.sagemaker.roles import CALL_ERRORS, CallFailed, Role
from local.sagemaker.store import Document, Store
from local.sagemaker.tags import Tags

KIND = "code-repository"
_CLONE_SECONDS = 120
# Folders that stand in for repositories which this machine does not reach: {URL: folder}, as JSON.
STAND_INS = "SMP_REPOSITORIES"
# How git reaches the outside. Nothing else of the person's is used: no settings, no credentials, no
# agent, and so no other protocol than what is named below.
_GIT_INHERITED = (
    "PATH",
    "GIT_SSL_CAINFO",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
)
# Gives git the user name and password of the repository's secret, and nothing that is on disk.
_HELPER = '!f() { echo "username=$GIT_SECRET_USERNAME"; echo "password=$GIT_SECRET_PASSWORD"; }; f'


class CloneFailed(Exception):
    """A repository is not there, or cannot be had; the message says why."""


class CodeRepositories:
    """The operations on code repositories."""

    def __init__(self, store: Store, arns: Arns, tags: Tags) -> None:
        self._repositories = Resources(
            store,
            arns,
            tags,
            kind=KIND,
            noun="CodeRepository",
            taken=lambda arn: invalid(f"Cannot create a duplicate CodeRepository: {arn}"),
            missing=lambda arn: invalid(f"Cannot find CodeRepository: {arn}"),
        )

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer CreateCodeRepository; as on AWS, nothing is looked up at the URL."""
        members = {**without_tags(params), "LastModifiedTime": time.time()}
        return {
            "CodeRepositoryArn": self._repositories.create(params, members)["CodeRepositoryArn"]
        }

    def describe(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DescribeCodeRepository."""
        return self._repositories.get(params["CodeRepositoryName"])

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer ListCodeRepositories."""
        return self._repositories.page(
            {"SortBy": "Name", "SortOrder": "Ascending", **params},
            "CodeRepositorySummaryList",
            ("LastModifiedTime", "GitConfig"),
        )

    def update(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer UpdateCodeRepository: only the secret can change."""
        name = params["CodeRepositoryName"]
        self._repositories.get(name)

        def edit(repository: Document) -> None:
            repository["GitConfig"].update(params.get("GitConfig", {}))
            repository["LastModifiedTime"] = time.time()

        changed = self._repositories.change(name, edit) or {}
        return {"CodeRepositoryArn": changed["CodeRepositoryArn"]}

    def delete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Answer DeleteCodeRepository."""
        self._repositories.delete(params["CodeRepositoryName"])
        return {}

    def check(self, name_or_url: str) -> None:
        """Refuse the name of a repository that there is none of.

        Raises:
            ServiceError: worded as DescribeCodeRepository words it.
        """
        if not name_or_url.startswith("https://"):
            self._repositories.get(name_or_url)

    def clone(self, name_or_url: str, home: NotebookHome, machine: Machine, role: Role) -> None:
        """Have a repository in the notebook's volume; one that is there already stays as it is.

        Raises:
            CloneFailed: when it cannot be had.
        """
        target = home.volume / folder(name_or_url)
        if target.exists():
            return
        git = {"RepositoryUrl": name_or_url}
        if not name_or_url.startswith("https://"):
            found = self._repositories.find(name_or_url)
            if found is None:
                arn = self._repositories.arn(name_or_url)
                raise CloneFailed(f"Cannot find CodeRepository: {arn}")
            git = found["GitConfig"]
        # Elsewhere first: a clone that was cut off would be taken for one that is there.
        _clone(git, home, machine, login(git, role)).rename(target)
        home.keep_cloned(target.name)


def stand_ins() -> dict[str, Path]:
    """Read which folders stand in for which URLs, from the environment of the platform.

    Raises:
        CloneFailed: when that is not as it should be.
    """
    text = os.environ.get(STAND_INS) or "{}"
    try:
        return {str(url): Path(path).resolve() for url, path in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise CloneFailed(
            f'{STAND_INS} must hold JSON, {{"https://HOST/REPOSITORY": "/FOLDER", ...}}, '
            f"and holds {text}"
        ) from error


def folder(name_or_url: str) -> str:
    """Name the folder of a clone: the repository's own name, as `git clone` would choose it."""
    last = name_or_url.rstrip("/").rpartition("/")[2].removesuffix(".git")
    return re.sub(r"[^A-Za-z0-9._-]", "-", last).lstrip(".") or "repository"


def login(git: Mapping[str, str], role: Role) -> dict[str, str]:
    """Read the user name and password of a repository with the notebook's role.

    Raises:
        CloneFailed: when the role may not, or the secret is none for git.
    """
    arn = git.get("SecretArn")
    if not arn:
        return {}
    try:
        secret = role.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    except CallFailed as error:
        raise CloneFailed(str(error)) from error
    except CALL_ERRORS as error:
        failure = role.failure(error, "secretsmanager:GetSecretValue", arn)
        raise CloneFailed(str(failure)) from error
    try:
        known = json.loads(secret)
        return {
            "GIT_SECRET_USERNAME": known["username"],
            "GIT_SECRET_PASSWORD": known["password"],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise CloneFailed(
            f'The secret {arn} must hold {{"username": ..., "password": ...}} for git.'
        ) from error


def git_command(secret: Mapping[str, str]) -> list[str]:
    """Give the git that logs in with a secret, or not at all, and runs none of a clone's hooks."""
    settings = [
        "credential.helper=",
        "protocol.allow=never",
        "protocol.https.allow=always",
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.askPass=",
        "submodule.recurse=false",
        *([f"credential.helper={_HELPER}"] if secret else []),
    ]
    return ["git", *(word for setting in settings for word in ("-c", setting))]


def git_environment(secret: Mapping[str, str], home: Path) -> dict[str, str]:
    """Give the environment in which git runs, with the secret that its helper hands over."""
    return {
        **{name: os.environ[name] for name in _GIT_INHERITED if name in os.environ},
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        **secret,
    }


def _clone(
    git: Mapping[str, str], home: NotebookHome, machine: Machine, known: Mapping[str, str]
) -> Path:
    """Clone into the notebook's temporary folder, and say where."""
    url, lines = git["RepositoryUrl"], list[str]()
    made = home.temporary / f"clone-{secrets.token_hex(4)}"
    reads = [Path(path) for path in [os.environ.get("GIT_SSL_CAINFO")] if path]
    command = git_command(known)
    if stand_in := stand_ins().get(url):
        command += [
            "-c",
            f"url.file://{stand_in}.insteadOf={url}",
            "-c",
            "protocol.file.allow=always",
        ]
        reads.append(stand_in)
    command += ["clone", "--quiet", "--template="]
    if git.get("Branch"):
        command += ["--branch", git["Branch"]]
    if shutil.which("git") is None:
        raise CloneFailed(f"Cannot clone {url}: this machine has no git.")
    process = machine.run(
        [*command, "--", url, str(made)],
        folder=home.temporary,
        on_line=lines.append,
        variables=git_environment(known, home.temporary),
        reads=reads,
    )
    if process is None:
        raise CloneFailed(f"Cannot clone {url}: the instance was ended.")
    try:
        code = process.wait(timeout=_CLONE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise CloneFailed(f"Cannot clone {url} within {_CLONE_SECONDS} seconds.") from error
    if code or not made.is_dir():
        machine.end(0)
        raise CloneFailed(f"Cannot clone {url}: {' '.join(' '.join(lines).split())}")
    return made
