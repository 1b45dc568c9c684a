"""The folders of a notebook instance, laid out as AWS lays out /home/ec2-user."""

import json
import os
import shlex
import shutil
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.confinement import Rules

# By these variables a lifecycle script finds its place on a laptop, where AWS has
# /home/ec2-user and /opt/ml/metadata/resource-metadata.json.
HOME = "SMP_NOTEBOOK_HOME"
METADATA = "SMP_NOTEBOOK_METADATA"
_METADATA = "/opt/ml/metadata"
_KEPT = "SageMaker"
# AWS's name of the kernel, so that notebooks written there find theirs here, and Jupyter's own.
_KERNELS = {"conda_python3": "conda_python3", "python3": "Python 3 (the same as conda_python3)"}
# AWS's instances bring samples in this folder, which JupyterLab offers as "SageMaker Examples".
_EXAMPLES = "sample-notebooks"
_SAMPLES = Path(__file__).resolve().parents[3] / "notebooks" / "samples"
# The SageMaker Python SDK would ask AWS itself for the account, and tell it what is done here.
_SDK_SETTINGS = Path(__file__).resolve().parents[2] / "platform" / "sagemaker_sdk.yaml"
_DISABLED = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/fileeditor-extension:language-server",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/notebook-extension:language-server",
)
# What a process needs of the platform's own environment; credentials are never among it.
_INHERITED = ("LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")


class NotebookHome:
    """The folder of one notebook instance; of its home only `SageMaker/` outlives a stop."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "home"
        self.volume = self.path / _KEPT
        self.metadata = folder / "metadata" / "resource-metadata.json"
        self.scripts = folder / "scripts"
        self.temporary = folder / "tmp"
        self.environment = self.path / "anaconda3" / "envs" / "python3"
        self._clones = folder / "clones"

    def renew(self, notebook: Mapping[str, Any]) -> None:
        """Give the instance a fresh home round the volume that it kept."""
        # What ran in the notebook may have put a link in the place of a folder of its own.
        for place in (self.path, self.volume):
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                place.unlink()
        self.volume.mkdir(parents=True, exist_ok=True)
        for entry in self.path.iterdir():
            if entry.name != _KEPT:
                _remove(entry)
        for folder in (self.scripts, self.temporary):
            _remove(folder)
            folder.mkdir(mode=0o700)
        self.metadata.parent.mkdir(exist_ok=True)
        document = {
            "ResourceArn": notebook["NotebookInstanceArn"],
            "ResourceName": notebook["NotebookInstanceName"],
        }
        self.metadata.write_text(json.dumps(document), encoding="utf-8")
        self._make_kernel()
        self._bring_examples()
        settings = self.path / ".config" / "sagemaker" / "config.yaml"
        settings.parent.mkdir(parents=True)
        shutil.copyfile(_SDK_SETTINGS, settings)
        self._set_jupyterlab()

    def remove(self) -> None:
        """Remove all of it, the volume too."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep_cloned(self, name: str) -> None:
        """Note when a repository was cloned: what is newer in its folder, people have put there."""
        self._clones.mkdir(exist_ok=True)
        (self._clones / name).write_bytes(b"")

    def cloned(self) -> dict[str, int]:
        """When each of the volume's repositories was cloned, in nanoseconds, by its folder."""
        if not self._clones.is_dir():
            return {}
        return {path.name: path.stat().st_mtime_ns for path in self._clones.iterdir()}

    def rules(self) -> Rules:
        """What runs in the notebook changes its home and its temporary files, and no others."""
        return Rules(
            self.temporary,
            reads=[self.metadata.parent, self.scripts, Path(__file__).parent],
            writes=[self.path],
            terminals=True,
            # Where the SageMaker Python SDK looks for the instance's name, and by it for its role.
            show={_METADATA: self.metadata.parent},
        )

    def variables(self) -> dict[str, str]:
        """The environment of what runs in the notebook, without what concerns AWS."""
        places = [
            str(self.environment / "bin"),
            str(Path(sys.executable).parent),
            os.environ.get("PATH", os.defpath),
        ]
        return {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "PATH": os.pathsep.join(places),
            "HOME": str(self.path),
            "SHELL": "/bin/bash",
            "TMPDIR": str(self.temporary),
            # The notebook's own kernels come before those of the platform's environment.
            "JUPYTER_PREFER_ENV_PATH": "0",
            HOME: str(self.path),
            METADATA: str(self.metadata),
        }

    def _bring_examples(self) -> None:
        if _SAMPLES.is_dir():
            shutil.copytree(_SAMPLES, self.path / _EXAMPLES / "sagemaker-platform")

    def _set_jupyterlab(self) -> None:
        """Write JupyterLab's settings, which like AWS's last as long as the home."""
        settings = self.path / ".jupyter"
        documents: dict[str, dict[str, Any]] = {
            # Off: a question about news that come from the internet, and language servers, which
            # JupyterLab would be asked for in vain.
            "labconfig/page_config.json": {"disabledExtensions": dict.fromkeys(_DISABLED, True)},
            # Who opens a README is to read it.
            "lab/user-settings/@jupyterlab/docmanager-extension/plugin.jupyterlab-settings": {
                "defaultViewers": {"markdown": "Markdown Preview"}
            },
            # What is chosen among the samples becomes a notebook of one's own.
            "jupyter_server_config.json": {
                "JupyterLabTemplates": {
                    "template_label": "SageMaker Examples",
                    "template_dirs": [str(self.path / _EXAMPLES)],
                    "allowed_extensions": ["*.ipynb"],
                    "include_default": False,
                    "include_core_paths": False,
                }
            },
        }
        for name, document in documents.items():
            (settings / name).parent.mkdir(parents=True, exist_ok=True)
            (settings / name).write_text(json.dumps(document), encoding="utf-8")

    def _make_kernel(self) -> None:
        """Make the environment of the kernel: the platform's packages, and room for others.

        What is installed into it goes with the home, and never into the platform's environment.
        """
        venv.EnvBuilder(symlinks=True, with_pip=False).create(self.environment)
        python = self.environment / "bin" / "python"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = self.environment / "lib" / version / "site-packages"
        # A path in a .pth file comes after the environment's own packages, and its own .pth files
        # are not read: this project's packages are none of the notebook's.
        (packages / "platform.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        pip = self.environment / "bin" / "pip"
        pip.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python))} -m pip "$@"\n')
        pip.chmod(0o755)
        for name, title in _KERNELS.items():
            folder = self.path / ".local" / "share" / "jupyter" / "kernels" / name
            folder.mkdir(parents=True)
            specification = {
                "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": title,
                "language": "python",
                "metadata": {"debugger": True},
            }
            (folder / "kernel.json").write_text(json.dumps(specification))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
