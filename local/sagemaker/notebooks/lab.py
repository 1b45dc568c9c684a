"""What `python -m jupyterlab` does, begun in half the time: a script within a notebook.

Where the package `rfc3987_syntax` is there, `jsonschema` has it prepare dozens of grammars while it
is imported, for two formats of addresses (iri, iri-reference) that no schema of Jupyter's names.
Where there is node, JupyterLab has it run yarn to learn from where extensions would come.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def main() -> None:
    """Start JupyterLab with the arguments of this process."""
    # As if it were not installed: an import that finds None in place of a module fails.
    modules: dict[str, Any] = sys.modules
    modules["rfc3987_syntax"] = None
    from jupyterlab import commands
    from jupyterlab.labapp import main as start

    # No extensions are built here.
    vars(commands)["_yarn_config"] = _no_yarn
    start()


def _no_yarn(_logger: object) -> dict[str, dict[str, Any]]:
    """What JupyterLab knows of yarn where there is no node."""
    return {"yarn config": {}, "npm config": {}}


def _find_the_identity_provider() -> None:
    """Let Jupyter import what lies beside this file, and nothing else of the platform."""
    modules = {"local": "", "local.sagemaker": "", "local.sagemaker.notebooks": "."}
    for name, folder in modules.items():
        module = ModuleType(name)
        module.__path__ = [str(Path(__file__).parent)] if folder else []
        sys.modules[name] = module


if __name__ == "__main__":
    _find_the_identity_provider()
    main()
