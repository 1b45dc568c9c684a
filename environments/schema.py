"""The JSON schema of an environment file, for editors that complete and check YAML.

Run as a module it writes the schema into `docs/schemas/`:

    python -m environments.schema
"""

import json
from pathlib import Path

from environments.model import Environment

PATH = Path(__file__).parents[1] / "docs" / "schemas" / "environment.schema.json"


def text() -> str:
    """The schema as the file holds it."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Environment.model_json_schema(),
    }
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
