from pathlib import Path
from typing import Any

from aws_cdk.assertions import Template

from tests.synth.conftest import declare


def test_a_managed_network_costs_nothing_and_says_what_it_is(
    environment: dict[str, Any], functions: Path
) -> None:
    plain = {key: value for key, value in environment.items() if key != "notebooks"}
    stacks = declare(plain, functions)
    assert "development" not in stacks
    template = Template.from_stack(stacks["network"])
    resources = template.to_json()["Resources"].values()
    assert [resource["Type"] for resource in resources] == ["AWS::SSM::Parameter"]
    template.has_resource_properties(
        "AWS::SSM::Parameter",
        {"Name": "/sagemaker-platform/test/network/mode", "Value": "managed"},
    )
