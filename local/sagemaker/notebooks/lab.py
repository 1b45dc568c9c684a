"""What `python -m jupyterlab` does, begun in half the time; this runs within a notebook.

Where the package `rfc3987_syntax` is there, `jsonschema` has it prepare dozens of grammars while it
is imported, for two formats of addresses (iri, iri-reference) that no schema of Jupyter's names.
"""

import sys
from typing import Any


def main() -> None:
    """Start JupyterLab with the arguments of this process."""
    # As if it were not installed: an import that finds None in place of a module fails.
    modules: dict[str, Any] = sys.modules
    modules["rfc3987_syntax"] = None
    from jupyterlab.labapp import main as start

    start()


if __name__ == "__main__":
    main()
