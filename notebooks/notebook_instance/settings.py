"""What the stack tells a notebook instance, and where its files are."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOME = "SMP_NOTEBOOK_HOME"
METADATA = "SMP_NOTEBOOK_METADATA"


@dataclass(frozen=True)
class Settings:
    """The settings that the lifecycle script wrote beside this package."""

    region: str
    namespace: str
    """Where the activity is published."""
    idle_seconds: int
    """How long nothing may happen before the instance is stopped."""
    interval_seconds: int
    """How often the agent looks and publishes."""
    packages_bucket: str
    packages_prefix: str
    """Where wheels and a `requirements.txt` for the kernel lie, if there are any."""
    platform: dict[str, Any]
    """Names of the platform's parts, for notebooks."""

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read the file of settings."""
        document = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{name: document[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Places:
    """The folders of one notebook instance."""

    home: Path
    metadata: Path

    @classmethod
    def of_this_instance(cls) -> Places:
        """As the service set them, or where they are on AWS."""
        return cls(
            home=Path(os.environ.get(HOME, "/home/ec2-user")),
            metadata=Path(os.environ.get(METADATA, "/opt/ml/metadata/resource-metadata.json")),
        )

    @property
    def delivered(self) -> Path:
        """What the lifecycle script unpacked; new at each start."""
        return self.home / ".sagemaker-platform"

    @property
    def volume(self) -> Path:
        """The only folder that outlives a stop on AWS, and the one that JupyterLab shows."""
        return self.home / "SageMaker"

    @property
    def shown(self) -> Path:
        """What the platform puts before people's eyes."""
        return self.volume / "sagemaker-platform"

    def instance_name(self) -> str:
        """The instance's name, as SageMaker wrote it into the metadata."""
        document = json.loads(self.metadata.read_text(encoding="utf-8"))
        return str(document["ResourceName"])
