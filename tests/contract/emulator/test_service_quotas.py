import json
import urllib.error

import pytest
from botocore.exceptions import ClientError

from .conftest import ACCOUNT, Server, allow

TRAINING = "ml.m5.xlarge for training job usage"
CODE = "L-CCE2AFA6"
OTHER = "L-2F737F8D"
ARN = f"arn:aws:servicequotas:us-east-1:{ACCOUNT}:sagemaker"
TRUST = f"arn:aws:iam::{ACCOUNT}:root"


def test_quotas_are_read_with_the_callers_policies(server: Server) -> None:
    server.role("quota-reader", "", allow("servicequotas:GetServiceQuota"), trust=TRUST)
    quotas = server.assumed("service-quotas", "quota-reader")
    found = quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=CODE)["Quota"]
    assert (found["QuotaName"], found["Value"]) == (TRAINING, 256)
    with pytest.raises(ClientError) as refused:
        quotas.list_service_quotas(ServiceCode="sagemaker")
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    assert "servicequotas:ListServiceQuotas on resource: *" in str(refused.value)


def test_more_is_asked_for_by_whoever_may_for_that_quota(server: Server) -> None:
    increase = "servicequotas:RequestServiceQuotaIncrease"
    server.role("quota-asker", "", allow(increase, on=f"{ARN}/{CODE}"), trust=TRUST)
    quotas = server.assumed("service-quotas", "quota-asker")
    with pytest.raises(ClientError, match=f"{increase} on resource: {ARN}/{OTHER}"):
        quotas.request_service_quota_increase(
            ServiceCode="sagemaker", QuotaCode=OTHER, DesiredValue=300
        )
    filed = quotas.request_service_quota_increase(
        ServiceCode="sagemaker", QuotaCode=CODE, DesiredValue=300
    )["RequestedQuota"]
    asker = json.loads(filed["Requester"])["callerArn"]
    assert asker.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/quota-asker/")
    server.post("/_smp/quotas", {"deny": filed["Id"]})
    (row,) = [row for row in server.get("/_smp/quotas") if row["code"] == CODE]
    assert (row["name"], row["limit"], row["used"], row["changed"]) == (TRAINING, 256, 0, False)


def test_a_condition_can_confine_the_service(server: Server) -> None:
    increase = "servicequotas:RequestServiceQuotaIncrease"
    only_ec2 = allow(increase, StringEquals={"servicequotas:service": "ec2"})
    server.role("quota-ec2", "", only_ec2, trust=TRUST)
    quotas = server.assumed("service-quotas", "quota-ec2")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        quotas.request_service_quota_increase(
            ServiceCode="sagemaker", QuotaCode=OTHER, DesiredValue=300
        )


def test_a_quota_is_set_from_outside_and_a_wrong_wish_is_refused(server: Server) -> None:
    quotas = server.client("service-quotas")
    server.post("/_smp/quotas", {"set": OTHER, "value": 7})
    found = quotas.get_service_quota(ServiceCode="sagemaker", QuotaCode=OTHER)
    assert found["Quota"]["Value"] == 7
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.post("/_smp/quotas", {"set": "nonsense", "value": 7})
    assert refused.value.code == 400
    assert "nonsense" in json.load(refused.value)["error"]
