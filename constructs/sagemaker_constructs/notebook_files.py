"""What a notebook instance gets from the platform when it starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_cdk import Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from sagemaker_constructs.permission import Permission

SETTINGS = "@SETTINGS@"
MAX_CHARACTERS = 16384
"""Of a script in base64, see "CreateNotebookInstanceLifecycleConfig" of SageMaker's API."""


class NotebookFiles(Construct):
    """The program and the samples of a folder, and the lifecycle scripts that fetch them.

    They are an asset: `cdk deploy` puts them into the bucket of bootstrap, under a name made from
    their content, so an instance gets at its start what was deployed last.

    Args:
        scope: Parent construct.
        id: Name of this construct within its scope.
        folder: Holds `lifecycle/`, `notebook_instance/` and `samples/`.
    """

    def __init__(self, scope: Construct, id: str, *, folder: Path) -> None:
        super().__init__(scope, id)
        self._lifecycle = folder / "lifecycle"
        self._asset = assets.Asset(
            self,
            "Files",
            path=str(folder),
            exclude=["lifecycle", "**/__pycache__", "**/.ipynb_checkpoints"],
        )

    def read(self) -> Permission:
        """Fetch exactly these files, of all that the bucket of bootstrap holds."""
        arn = self._asset.bucket.arn_for_objects(self._asset.s3_object_key)
        return Permission(
            (iam.PolicyStatement(sid="ReadFiles", actions=["s3:GetObject"], resources=[arn]),)
        )

    def lifecycle(
        self, scope: Construct, id: str, settings: Mapping[str, Any]
    ) -> sagemaker.CfnNotebookInstanceLifecycleConfig:
        """The scripts of one notebook, which hand `settings` to the program."""
        text = Stack.of(self).to_json_string(
            {
                **settings,
                "files_bucket": self._asset.s3_bucket_name,
                "files_key": self._asset.s3_object_key,
            }
        )
        hook = sagemaker.CfnNotebookInstanceLifecycleConfig.NotebookInstanceLifecycleHookProperty
        return sagemaker.CfnNotebookInstanceLifecycleConfig(
            scope,
            id,
            on_create=[hook(content=self._script("on_create.sh", text))],
            on_start=[hook(content=self._script("on_start.sh", text))],
        )

    def _script(self, name: str, settings: str) -> str:
        text = lifecycle_script(self._lifecycle, name)
        if encoded_length(text) > MAX_CHARACTERS:
            raise ValueError(
                f"lifecycle script {name} has {encoded_length(text)} characters in base64; "
                f"allowed: {MAX_CHARACTERS}. Move code of it into notebook_instance/"
            )
        return Fn.base64(text.replace(SETTINGS, settings))


def lifecycle_script(folder: Path, name: str) -> str:
    """A lifecycle script as it is deployed, but for its settings.

    Raises:
        ValueError: If a line ends as on Windows, which bash takes for a part of the command.
    """
    parts = [(folder / part).read_bytes() for part in ("deliver.sh", name)]
    if any(b"\r" in part for part in parts):
        raise ValueError(f"{name} or deliver.sh in {folder} has CRLF; allowed: LF alone")
    return b"".join(parts).decode("utf-8")


def encoded_length(text: str) -> int:
    """How long a text is in base64, as SageMaker counts it."""
    return -(-len(text.encode("utf-8")) // 3) * 4
