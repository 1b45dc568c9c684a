"""What the service says of operations whose services AWS has closed."""

import re
from datetime import date

import pytest

from environments.retirement import facts
from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from local.sagemaker.validation import service_model


def refusal(sagemaker: SageMakerService, operation: str) -> str:
    with pytest.raises(ServiceError) as caught:
        sagemaker.call(operation, {})
    assert caught.value.code == "UnknownOperationException"
    return caught.value.message


@pytest.mark.parametrize(
    ("operation", "service"),
    [
        ("CreateMonitoringSchedule", "Model Monitor"),
        ("ListDataQualityJobDefinitions", "Model Monitor"),
        ("CreateLabelingJob", "Ground Truth"),
        ("CreateHumanTaskUi", "Augmented AI"),
    ],
)
def test_an_operation_of_a_closed_service_is_refused_with_day_and_page(
    sagemaker: SageMakerService, monkeypatch: pytest.MonkeyPatch, operation: str, service: str
) -> None:
    monkeypatch.setattr(sagemaker, "_today", lambda: date(2026, 8, 1))
    assert re.search(
        f"^{operation} is an operation of SageMaker .* that AWS closes: {service} ended on "
        "2026-07-30 for accounts that did not use it before.*: see https://docs.aws.amazon.com/",
        refusal(sagemaker, operation),
    )


def test_an_operation_of_an_open_service_is_answered_with_those_that_are_offered(
    sagemaker: SageMakerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sagemaker, "_today", lambda: date(2026, 8, 1))
    assert "It offers: " in refusal(sagemaker, "CreateProcessingJob")


def test_the_resources_of_the_facts_are_resources_of_the_api() -> None:
    operations = [name.removesuffix("s") for name in service_model().operation_names]
    runtime = [
        name.removesuffix("s") for name in service_model("sagemaker-a2i-runtime").operation_names
    ]
    named = [resource for fact in facts().facts for resource in fact.resources]
    unknown = [one for one in named if not any(name.endswith(one) for name in operations + runtime)]
    assert named and unknown == []
