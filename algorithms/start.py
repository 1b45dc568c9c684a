"""Starts `algorithms` by its own path: `python -I start.py train|serve`.

Isolated, Python searches neither the folder it runs in nor those of PYTHONPATH or a person's own,
where data of a job may lie. A process that `multiprocessing` starts anew comes through here, too.
"""

import importlib.util
import sys
from pathlib import Path


def load() -> None:
    """Make the package importable, without a folder that would be searched for others."""
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        "algorithms", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} holds no package")
    module = importlib.util.module_from_spec(spec)
    sys.modules["algorithms"] = module
    spec.loader.exec_module(module)


load()

if __name__ == "__main__":
    from algorithms.__main__ import main

    sys.exit(main())
