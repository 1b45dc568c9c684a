"""Write the JSON schema of a job request into docs/schemas, for editors and validators."""

import json
from pathlib import Path

from jobs.request import schema

PATH = Path(__file__).resolve().parents[1] / "docs" / "schemas" / "job-request.schema.json"

if __name__ == "__main__":
    PATH.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
