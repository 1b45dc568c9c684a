"""What a synthesized cloud assembly holds, read without the CDK."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_STACK = "aws:cloudformation:stack"


class NoAssembly(ValueError):
    """A folder that is no cloud assembly."""


@dataclass(frozen=True, slots=True)
class SynthesizedStack:
    """A stack of an assembly: its template, and the region that it is deployed to."""

    path: Path
    region: str

    def template(self) -> dict[str, Any]:
        """The content of the template."""
        found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return found


def stacks(assembly: Path) -> dict[str, SynthesizedStack]:
    """Every stack of an assembly, by artifact id."""
    path = assembly / "manifest.json"
    if not path.exists():
        raise NoAssembly(f"{assembly} is no cloud assembly: it has no manifest.json")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: SynthesizedStack(
            path=assembly / artifact["properties"]["templateFile"],
            region=artifact["environment"].rpartition("/")[2],
        )
        for name, artifact in manifest["artifacts"].items()
        if artifact["type"] == _STACK
    }
