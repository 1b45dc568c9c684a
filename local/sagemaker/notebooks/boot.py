"""One start of a notebook instance: its home, repositories, lifecycle scripts and JupyterLab."""

import hmac
import logging
import secrets
import subprocess
import time
from typing import Any

from local import shell
from local.sagemaker.logs import LogStream
from local.sagemaker.notebooks.home import NotebookHome
from local.sagemaker.notebooks.jupyter import JupyterLab, LabFailed
from local.sagemaker.notebooks.lifecycle import LifecycleConfigs, script
from local.sagemaker.notebooks.machine import Machine
from local.sagemaker.notebooks.records import Records
from local.sagemaker.notebooks.repositories import CloneFailed, CodeRepositories, folder
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.surroundings import Surroundings

LOG_GROUP = "/aws/sagemaker/NotebookInstances"
# Below this path the platform gives a notebook the credentials of its role.
CREDENTIALS_PATH = "/_smp/notebook-credentials"
# The lifecycle scripts of the platform's own instances bring it.
_README = "sagemaker-platform/README.md"

_log = logging.getLogger(__name__)


class BootFailed(Exception):
    """The instance has failed; the message is its FailureReason."""


class Instance:
    """A notebook instance that starts or is in service."""

    def __init__(
        self,
        around: Surroundings,
        records: Records,
        configs: LifecycleConfigs,
        repositories: CodeRepositories,
        notebook: dict[str, Any],
        home: NotebookHome,
    ) -> None:
        self._around = around
        self._records = records
        self._configs = configs
        self._repositories = repositories
        self._notebook = notebook
        self.name: str = notebook["NotebookInstanceName"]
        self._home = home
        self.role = Role(around.aws, around.arns, notebook["RoleArn"])
        # Shown by what runs in the notebook when it asks for the role's credentials.
        self._credentials_token = secrets.token_urlsafe(32)
        self._machine = Machine(self._variables(), around.confinement, home.rules())
        self._logs: list[LogStream] = []
        self._lab_log = self._stream("jupyter.log")
        self.lab = JupyterLab(self._machine, home, around.limits, self._lab_log.add)

    def boot(self) -> None:
        """Do all that comes before the instance is in service.

        Raises:
            BootFailed: with what AWS would give as the reason, or the platform's own.
        """
        self._home.renew(self._notebook)
        self._open(self._lab_log)
        self._clone()
        config = self._config()
        if self._records.creation(self.name) == "":
            self._records.keep_creation(self.name, "begun")
            self._run(config, "OnCreate")
            if self.ended:
                return
            self._records.keep_creation(self.name, "done")
        self._run(config, "OnStart")
        try:
            self.lab.start()
        except LabFailed as error:
            raise BootFailed(
                f"{error} See its log: {self.name}/jupyter.log in {LOG_GROUP}."
            ) from error

    @property
    def ended(self) -> bool:
        """Whether it was ended, by a stop or with the platform."""
        return self._machine.ended

    def holds(self, token: str) -> bool:
        """Whether who shows this token runs in the notebook."""
        return hmac.compare_digest(token.encode(), self._credentials_token.encode())

    def end(self, grace: float) -> None:
        """End every process of the instance, and write what is left of its logs."""
        self._machine.end(grace)
        for log in self._logs:
            log.close()

    def path(self) -> str:
        """Where JupyterLab opens: in the default repository, or else at the samples' README."""
        repository = self._notebook.get("DefaultCodeRepository")
        if repository:
            return f"/lab/tree/{folder(repository)}"
        return f"/lab/tree/{_README}" if (self._home.volume / _README).is_file() else "/lab"

    def _variables(self) -> dict[str, str]:
        aws = self._around.aws
        return {
            **self._home.variables(),
            "AWS_REGION": aws.region,
            "AWS_DEFAULT_REGION": aws.region,
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            # For whoever sets a proxy in the notebook to reach the internet.
            **shell.bypass({}),
            # The SDKs fetch the role's credentials here, and fetch them again before they end.
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{aws.endpoint_url}{CREDENTIALS_PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._credentials_token,
        }

    def _clone(self) -> None:
        default = self._notebook.get("DefaultCodeRepository")
        wanted = [default] if default else []
        for repository in [*wanted, *self._notebook.get("AdditionalCodeRepositories", [])]:
            try:
                self._repositories.clone(repository, self._home, self._machine, self.role)
            except CloneFailed as error:
                raise BootFailed(str(error)) from error

    def _config(self) -> dict[str, Any]:
        name = self._notebook.get("NotebookInstanceLifecycleConfigName")
        if not name:
            return {}
        found = self._configs.find(name)
        if found is None:
            raise BootFailed(
                f"Unable to describe Notebook Instance Lifecycle Config '{self._configs.arn(name)}'"
                ". (Details: Notebook Instance Lifecycle Config does not exist.)"
            )
        return found

    def _run(self, config: dict[str, Any], hook: str) -> None:
        """Run the script of a hook to its end; what it leaves in the background lives on."""
        content = script(config, hook)
        if content is None:
            return
        moment = time.strftime("%Y-%m-%d-%H-%M")
        path = self._home.scripts / f"{hook}_{moment}{secrets.token_hex(4)}"
        path.write_bytes(content)
        path.chmod(0o700)
        log = self._stream(f"LifecycleConfig{hook}")
        self._open(log)
        # Through bash, as AWS starts it: it is bash that says what is wrong with the first line.
        process = self._machine.run(
            ["/bin/bash", "-c", '"$0"', str(path)], folder=self._home.path, on_line=log.add
        )
        if process is None:
            return
        limit = self._around.limits.notebook_script
        detail = ""
        try:
            code = process.wait(timeout=limit)
            if code:
                detail = f"{hook} ended with exit code {code if code > 0 else 128 - code}"
        except subprocess.TimeoutExpired:
            detail = f"{hook} was ended after {limit:g} seconds"
        if detail and not self._machine.ended:
            # All of it: a background process that waits for the script would keep the log open.
            self._machine.end(self._around.limits.notebook_stop)
            raise BootFailed(self._reason(config, f"{detail}{_carriage_returns(content)}"))

    def _reason(self, config: dict[str, Any], detail: str) -> str:
        """Word why a script failed.

        AWS has one sentence for scripts that fail and for those that take too long; what it leaves
        out stands behind it.
        """
        return (
            "Notebook Instance Lifecycle Config "
            f"'{config['NotebookInstanceLifecycleConfigArn']}' for Notebook Instance "
            f"'{self._notebook['NotebookInstanceArn']}' took longer than 5 minutes. Please check "
            "your CloudWatch logs for more details if your Notebook Instance has Internet access. "
            f"({detail}.)"
        )

    def _stream(self, name: str) -> LogStream:
        return LogStream(
            self.role,
            self._around.arns,
            group=LOG_GROUP,
            stream=f"{self.name}/{name}",
            on_failure=self._no_log,
        )

    def _open(self, log: LogStream) -> None:
        try:
            log.open()
        except CallFailed as error:
            self._no_log(error)
        else:
            self._logs.append(log)

    def _no_log(self, error: CallFailed) -> None:
        # As on AWS, an instance whose role may not write logs runs without them.
        _log.warning("notebook instance %s writes no log: %s", self.name, error)


def _carriage_returns(content: bytes) -> str:
    if b"\r\n" not in content:
        return ""
    return (
        "; its lines end with CRLF, and bash reads the carriage return as part of each line: "
        "save it with LF, for example with dos2unix"
    )
