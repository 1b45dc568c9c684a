import pytest

from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.endpoint_support import config, endpoint, invoke, model, settled, variant
from tests.unit.sagemaker.surroundings import (
    LIMITS,
    TestAws,
    until,
)

pytestmark = pytest.mark.usefixtures("models")


def test_every_variant_gets_its_share_of_the_requests_and_metrics_of_its_own(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    for name in ("one", "two"):
        model(sagemaker, name)
    config(
        sagemaker,
        "c",
        variant("one", "A", InitialVariantWeight=7.0),
        variant("two", "B", InitialVariantWeight=3.0),
    )
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    settled(sagemaker)
    answers = [invoke(sagemaker) for _ in range(20)]
    named = [headers["x-Amzn-Invoked-Production-Variant"] for _, headers, _ in answers]
    served = [answer["weights"] for _, _, answer in answers]
    assert served == [{"A": "one", "B": "two"}[name] for name in named]
    # Spread evenly, so that a test of few requests sees every variant.
    assert [named[start : start + 10].count("B") for start in (0, 5, 10)] == [3, 3, 3]
    counted: dict[str, float] = {}

    def all_told() -> bool:
        counted.clear()
        for _, data in [*aws.metrics]:
            for datum in data:
                if datum["MetricName"] == "Invocations":
                    name = datum["Dimensions"][1]["Value"]
                    counted[name] = counted.get(name, 0) + datum["StatisticValues"]["Sum"]
        return sum(counted.values()) == 20

    until(all_told)
    assert counted == {"A": 14, "B": 6}


def test_requests_go_to_variants_by_weight_or_by_name(sagemaker: SageMakerService) -> None:
    model(sagemaker, "one")
    model(sagemaker, "two")
    config(
        sagemaker,
        "c",
        variant("one", "A", InitialVariantWeight=1.0),
        variant("two", "B", InitialVariantWeight=0.0),
    )
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    settled(sagemaker)
    assert {invoke(sagemaker)[2]["weights"] for _ in range(10)} == {"one"}
    assert invoke(sagemaker, Target_Variant="B")[2]["weights"] == "two"
    status, headers, answer = invoke(sagemaker, Target_Variant="C")
    assert (status, headers["x-amzn-ErrorType"]) == (400, "ValidationError")
    assert "Variant C of endpoint e does not exist" in answer["Message"]
    sagemaker.call(
        "UpdateEndpointWeightsAndCapacities",
        {
            "EndpointName": "e",
            "DesiredWeightsAndCapacities": [
                {"VariantName": "A", "DesiredWeight": 0.0},
                {"VariantName": "B", "DesiredWeight": 3.0, "DesiredInstanceCount": 2},
            ],
        },
    )
    shown = settled(sagemaker)["ProductionVariants"]
    assert [v["CurrentWeight"] for v in shown] == [0.0, 3.0]
    assert shown[1]["CurrentInstanceCount"] == 2
    answers = [invoke(sagemaker)[2] for _ in range(10)]
    assert {a["weights"] for a in answers} == {"two"}
    assert len({a["pid"] for a in answers}) == 2


@pytest.mark.parametrize(("status", "side"), [(400, "client"), (415, "client"), (500, "server")])
def test_an_error_of_the_model_is_a_model_error(
    sagemaker: SageMakerService, status: int, side: str
) -> None:
    endpoint(sagemaker)
    code, headers, answer = invoke(sagemaker, Custom_Attributes=f"status={status}")
    assert (code, headers["x-amzn-ErrorType"]) == (424, "ModelError")
    assert answer["OriginalStatusCode"] == status
    assert answer["OriginalMessage"] == "so be it"
    assert answer["Message"] == (
        f'Received {side} error ({status}) from primary with message "so be it". See '
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        "#logEventViewer:group=/aws/sagemaker/Endpoints/e in account 000000000000 for more "
        "information."
    )
    assert (
        ":log-group:/aws/sagemaker/Endpoints/e:log-stream:AllTraffic/i-" in answer["LogStreamArn"]
    )


def test_a_model_that_takes_too_long_is_a_model_error(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    code, _, answer = invoke(sagemaker, Custom_Attributes="sleep=5")
    assert (code, answer["OriginalStatusCode"]) == (424, 0)
    assert "Your invocation timed out while waiting for a response" in answer["Message"]


def test_requests_and_answers_have_the_size_limit_of_aws(sagemaker: SageMakerService) -> None:
    endpoint(sagemaker)
    limit = LIMITS.payload
    status, _, answer = invoke(sagemaker, body=b"x" * (limit + 1))
    assert (status, answer["message"]) == (413, "HTTP content length exceeded 6291456 bytes.")
    assert invoke(sagemaker, body=b"x" * limit)[2]["length"] == limit
    assert len(invoke(sagemaker, Custom_Attributes=f"long={limit}")[2]) == limit
    status, _, answer = invoke(sagemaker, Custom_Attributes=f"long={limit + 1}")
    assert status == 424 and "longer than 6291456 bytes" in answer["Message"]


def test_an_unknown_endpoint_is_a_validation_error(sagemaker: SageMakerService) -> None:
    status, headers, answer = invoke(sagemaker, "none")
    assert (status, headers["x-amzn-ErrorType"]) == (400, "ValidationError")
    assert answer["Message"] == "Endpoint none of account 000000000000 not found."


@pytest.mark.parametrize("attributes", ["x" * 1025, "a\tb", "é"])
def test_custom_attributes_are_short_visible_ascii(
    sagemaker: SageMakerService, attributes: str
) -> None:
    assert "visible US-ASCII" in invoke(sagemaker, Custom_Attributes=attributes)[2]["Message"]


def test_invocations_are_measured_under_the_service(
    sagemaker: SageMakerService, aws: TestAws
) -> None:
    endpoint(sagemaker)
    for attributes in ("", "status=400", "status=500"):
        invoke(sagemaker, Custom_Attributes=attributes)
    sums: dict[str, float] = {}

    def all_told() -> bool:
        sums.clear()
        for namespace, data in [*aws.metrics]:
            assert namespace == "AWS/SageMaker"
            for datum in data:
                name = datum["MetricName"]
                sums[name] = sums.get(name, 0) + datum["StatisticValues"]["Sum"]
        return sums.get("Invocations") == 3

    until(all_told)
    assert sums["Invocation4XXErrors"] == sums["Invocation5XXErrors"] == 1
    assert sums["InvocationModelErrors"] == 2
    assert 100 < sums["ModelLatency"] < 5e6
    dimensions = aws.metrics[0][1][0]["Dimensions"]
    assert {d["Name"]: d["Value"] for d in dimensions} == {
        "EndpointName": "e",
        "VariantName": "AllTraffic",
    }
