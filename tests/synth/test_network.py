from aws_cdk.assertions import Template


def test_a_managed_network_costs_nothing_and_says_what_it_is(
    templates: dict[str, Template],
) -> None:
    resources = templates["network"].to_json()["Resources"].values()
    assert [resource["Type"] for resource in resources] == ["AWS::SSM::Parameter"]
    templates["network"].has_resource_properties(
        "AWS::SSM::Parameter",
        {"Name": "/sagemaker-platform/test/network/mode", "Value": "managed"},
    )
