import json

import pytest
import yaml

from environments.model import DIRECTORY, names
from environments.schema import PATH, text


def test_the_schema_in_the_repository_is_current() -> None:
    assert PATH.read_text(encoding="utf-8") == text(), "run: python -m environments.schema"


@pytest.mark.parametrize("name", names())
def test_every_environment_satisfies_the_schema_and_names_it(name: str) -> None:
    import jsonschema  # takes seconds, of every worker if it stood above

    file = (DIRECTORY / f"{name}.yaml").read_text(encoding="utf-8")
    jsonschema.validate(yaml.safe_load(file), json.loads(text()))
    first = file.splitlines()[0]
    assert first == "# yaml-language-server: $schema=../docs/schemas/environment.schema.json"
    assert (DIRECTORY / first.partition("=")[2]).resolve() == PATH


def test_the_schema_offers_instance_types_for_their_use() -> None:
    definitions = json.loads(text())["$defs"]
    assert "ml.m6g.large" in definitions["Endpoint"]["properties"]["instance_type"]["enum"]
    training = definitions["Training"]["properties"]["instance_types"]["items"]["enum"]
    assert "ml.m6g.large" not in training
