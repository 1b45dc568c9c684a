from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from moto.core.models import botocore_stubber
from types_boto3_sagemaker import SageMakerClient
from types_boto3_service_quotas import ServiceQuotasClient

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from local.sagemaker.service_quotas import SERVICE
from local.sagemaker.validation import operation_model
from quotas import table
from tests.contract.sagemaker.conftest import through
from tests.unit.sagemaker.surroundings import REGION, job_request

TRAINING = "ml.m5.xlarge for training job usage"
CODE = "L-CCE2AFA6"


@pytest.fixture
def quotas(sagemaker: SageMakerService) -> ServiceQuotasClient:
    once = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    found = boto3.client("service-quotas", region_name=REGION, config=once)
    # moto is asked too, whoever answers first, and breaks on what it does not have.
    found.meta.events.unregister("before-send", botocore_stubber)  # type: ignore[arg-type]
    found.meta.events.register_first("before-send", through(sagemaker.service_quotas.handle))
    return found


def code_of(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return str(caught.value.response["Error"]["Code"])


def test_boto3_lists_every_quota_of_sagemaker_in_pages(quotas: ServiceQuotasClient) -> None:
    found = {
        quota["QuotaName"]: quota
        for page in quotas.get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
        for quota in page["Quotas"]
    }
    assert {name: quota["QuotaCode"] for name, quota in found.items()} == table.codes()
    assert found[TRAINING]["Value"] == 256
    assert found[TRAINING]["QuotaArn"] == (
        f"arn:aws:servicequotas:us-east-1:000000000000:sagemaker/{CODE}"
    )
    # What counts against nothing here has no value, and says so.
    unknown = found["ml.m5.xlarge for cluster usage"]
    assert "Value" not in unknown
    assert unknown["ErrorReason"]["ErrorCode"] == "SERVICE_QUOTA_NOT_AVAILABLE_ERROR"
    only = quotas.list_service_quotas(ServiceCode="sagemaker", QuotaCode=CODE)["Quotas"]
    assert [quota["QuotaName"] for quota in only] == [TRAINING]
    of_resources = quotas.list_service_quotas(
        ServiceCode="sagemaker", QuotaAppliedAtLevel="RESOURCE"
    )
    assert of_resources["Quotas"] == []


def test_what_is_applied_and_what_aws_gives_are_two_things(quotas: ServiceQuotasClient) -> None:
    total = table.codes()[table.TOTAL["training"]]
    asked: Any = {"ServiceCode": "sagemaker", "QuotaCode": total}
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 256
    assert quotas.get_aws_default_service_quota(**asked)["Quota"]["Value"] == 4
    pages = quotas.get_paginator("list_aws_default_service_quotas").paginate(
        ServiceCode="sagemaker", PaginationConfig={"PageSize": 100}
    )
    defaults = {quota["QuotaCode"]: quota for page in pages for quota in page["Quotas"]}
    assert defaults[total]["Value"] == 4
    assert "QuotaAppliedAtLevel" not in defaults[total]


def test_an_approved_request_raises_the_quota(
    quotas: ServiceQuotasClient, sagemaker: SageMakerService
) -> None:
    asked: Any = {"ServiceCode": "sagemaker", "QuotaCode": CODE}
    filed = quotas.request_service_quota_increase(**asked, DesiredValue=300)["RequestedQuota"]
    assert (filed["Status"], filed["QuotaName"], filed["DesiredValue"]) == (
        "PENDING",
        TRAINING,
        300,
    )
    assert datetime.now(UTC) - filed["Created"] < timedelta(minutes=1)
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 256
    sagemaker.service_quotas.administer({"approve": filed["Id"]})
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 300
    found = quotas.get_requested_service_quota_change(RequestId=filed["Id"])["RequestedQuota"]
    assert found["Status"] == "APPROVED"


def test_a_denied_request_leaves_the_quota_as_it_is(
    quotas: ServiceQuotasClient, sagemaker: SageMakerService
) -> None:
    asked: Any = {"ServiceCode": "sagemaker", "QuotaCode": CODE}
    filed = quotas.request_service_quota_increase(**asked, DesiredValue=300)["RequestedQuota"]
    sagemaker.service_quotas.administer({"deny": filed["Id"]})
    history = quotas.list_requested_service_quota_change_history_by_quota(**asked)
    assert [one["Status"] for one in history["RequestedQuotas"]] == ["DENIED"]
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 256
    with pytest.raises(ServiceError, match="is DENIED already"):
        sagemaker.service_quotas.administer({"approve": filed["Id"]})
    assert quotas.get_service_quota(**asked)["Quota"]["Value"] == 256


def test_the_history_is_filtered_and_paged(
    quotas: ServiceQuotasClient, sagemaker: SageMakerService
) -> None:
    codes = [table.codes()[table.of_type("training", f"ml.c5.{size}xlarge")] for size in (2, 4, 9)]
    for code in codes:
        quotas.request_service_quota_increase(
            ServiceCode="sagemaker", QuotaCode=code, DesiredValue=999
        )
    pages = quotas.get_paginator("list_requested_service_quota_change_history").paginate(
        ServiceCode="sagemaker", PaginationConfig={"PageSize": 2}
    )
    sizes = [len(page["RequestedQuotas"]) for page in pages]
    assert sizes == [2, 1]
    first = quotas.list_requested_service_quota_change_history(MaxResults=2)
    assert [one["QuotaCode"] for one in first["RequestedQuotas"]] == codes[:0:-1]
    sagemaker.service_quotas.administer({"deny": first["RequestedQuotas"][0]["Id"]})
    denied = quotas.list_requested_service_quota_change_history(Status="DENIED")
    assert [one["QuotaCode"] for one in denied["RequestedQuotas"]] == codes[-1:]
    with pytest.raises(quotas.exceptions.InvalidPaginationTokenException):
        quotas.list_requested_service_quota_change_history(
            NextToken=first["NextToken"], Status="DENIED"
        )


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"DesiredValue": 256}, "IllegalArgumentException", "greater than the current quota value"),
        ({"DesiredValue": 300.5}, "IllegalArgumentException", "whole number"),
        ({"DesiredValue": -1}, "ValidationException", "greater than or equal to 0"),
        ({"ServiceCode": "ec2"}, "NoSuchResourceException", "specified service does not exist"),
        ({"QuotaCode": "L-00000000"}, "NoSuchResourceException", "specified quota does not exist"),
        ({"QuotaCode": "-"}, "ValidationException", "pattern"),
        (
            {"QuotaCode": table.codes()["ml.m5.xlarge for cluster usage"]},
            "IllegalArgumentException",
            "nothing that counts against",
        ),
        ({"ContextId": "x"}, "IllegalArgumentException", "leave ContextId out"),
    ],
)
def test_a_wrong_request_for_more_is_refused(
    quotas: ServiceQuotasClient, changes: dict[str, Any], code: str, words: str
) -> None:
    asked: Any = {"ServiceCode": "sagemaker", "QuotaCode": CODE, "DesiredValue": 300} | changes
    with pytest.raises(ClientError, match=words) as caught:
        quotas.request_service_quota_increase(**asked)
    assert code_of(caught) == code
    assert quotas.list_requested_service_quota_change_history()["RequestedQuotas"] == []


def test_a_quota_has_one_open_request(quotas: ServiceQuotasClient) -> None:
    asked: Any = {"ServiceCode": "sagemaker", "QuotaCode": CODE}
    quotas.request_service_quota_increase(**asked, DesiredValue=300)
    with pytest.raises(
        quotas.exceptions.ResourceAlreadyExistsException,
        match="Only one open service quota increase request is allowed per quota",
    ):
        quotas.request_service_quota_increase(**asked, DesiredValue=400)


def test_what_is_not_offered_is_refused_by_name(
    quotas: ServiceQuotasClient, sagemaker: SageMakerService
) -> None:
    with pytest.raises(ClientError, match="ListServices is an operation of Service Quotas"):
        quotas.list_services()
    with pytest.raises(quotas.exceptions.NoSuchResourceException, match="context Id"):
        quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=CODE, ContextId="x")
    with pytest.raises(quotas.exceptions.NoSuchResourceException, match="quota change request"):
        quotas.get_requested_service_quota_change(RequestId="none")
    sagemaker.faults.configure({"throttle": {"GetServiceQuota": 1}})
    with pytest.raises(quotas.exceptions.TooManyRequestsException):
        quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=CODE)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"set": CODE},
        {"set": CODE, "value": -1},
        {"set": CODE, "value": "many"},
        {"set": "L-00000000", "value": 1},
        {"set": table.codes()["ml.m5.xlarge for cluster usage"], "value": 1},
        {"approve": "none"},
    ],
)
def test_nothing_but_a_known_wish_changes_a_quota(
    sagemaker: SageMakerService, wish: dict[str, Any]
) -> None:
    with pytest.raises(ServiceError):
        sagemaker.service_quotas.administer(wish)
    assert sagemaker.quotas.changed() == set()


def test_every_answer_is_as_the_model_of_aws_has_it(sagemaker: SageMakerService) -> None:
    service = sagemaker.service_quotas
    quota = {"ServiceCode": "sagemaker", "QuotaCode": CODE}
    filed = service.call("RequestServiceQuotaIncrease", {**quota, "DesiredValue": 300})
    request = {"RequestId": filed["RequestedQuota"]["Id"]}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("GetServiceQuota", quota),
        ("GetAWSDefaultServiceQuota", quota),
        ("ListServiceQuotas", {"ServiceCode": "sagemaker"}),
        ("ListAWSDefaultServiceQuotas", {"ServiceCode": "sagemaker"}),
        ("GetRequestedServiceQuotaChange", request),
        ("ListRequestedServiceQuotaChangeHistory", {}),
        ("ListRequestedServiceQuotaChangeHistoryByQuota", quota),
    ]
    for operation, params in asked:
        shape = operation_model(operation, SERVICE).output_shape
        assert shape
        report = ParamValidator().validate(service.call(operation, params), shape)
        assert not report.has_errors(), report.generate_report()


def test_boto3_knows_the_refusal_of_a_job_over_its_quota(
    client: SageMakerClient, sagemaker: SageMakerService
) -> None:
    sagemaker.quotas.change(CODE, 0)
    with pytest.raises(client.exceptions.ResourceLimitExceeded) as caught:
        client.create_training_job(**job_request("job"))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert str(caught.value).startswith(
        "An error occurred (ResourceLimitExceeded) when calling the CreateTrainingJob operation: "
        f"The account-level service limit '{TRAINING}' is 0 Instances, with current utilization of "
        "0 Instances and a request delta of 1 Instances."
    )
