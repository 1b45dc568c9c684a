"""What `python -m jupyterlab` does, begun in half the time; this runs within a notebook.

Where the package `rfc3987_syntax` is there, `jsonschema` has it prepare dozens of grammars while it
is imported, for two formats of addresses (iri, iri-reference) that no schema of Jupyter's names.
"""

import sys
from types import ModuleType
from typing import cast

# As if it were not installed.
sys.modules["rfc3987_syntax"] = cast(ModuleType, None)

from jupyterlab.labapp import main  # noqa: E402 what stands above must come first

if __name__ == "__main__":
    sys.exit(main())
