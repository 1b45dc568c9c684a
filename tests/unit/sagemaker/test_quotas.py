import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from types_boto3_s3 import S3Client

from local.sagemaker import quota_values, quotas
from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from quotas import table
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    IMAGE,
    ROLE,
    TestAws,
    archive,
    finished,
    job_request,
    service,
    until,
)

TRAINING = "ml.m5.xlarge for training job usage"
SPOT = "ml.m5.xlarge for spot training job usage"
ENDPOINT = "ml.m5.large for endpoint usage"
REFUSED = (
    "The account-level service limit '{name}' is {limit} Instances, with current utilization of "
    "{used} Instances and a request delta of {more} Instances. Please use AWS Service Quotas to "
    "request an increase for this quota. If AWS Service Quotas is not available, contact AWS "
    "support to request an increase for this quota."
)


def allow(sagemaker: SageMakerService, name: str, value: int) -> None:
    sagemaker.quotas.change(table.codes()[name], value)


def refusal(sagemaker: SageMakerService, operation: str, params: dict[str, Any]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        sagemaker.call(operation, params)
    return caught.value


def slow(name: str, **changes: object) -> dict[str, Any]:
    return job_request(name, HyperParameters={"sleep": "30"}, **changes)


def instances(count: int, instance_type: str = "ml.m5.xlarge") -> dict[str, Any]:
    return {"InstanceType": instance_type, "InstanceCount": count, "VolumeSizeInGB": 5}


def stop(sagemaker: SageMakerService, *names: str) -> None:
    for name in names:
        sagemaker.call("StopTrainingJob", {"TrainingJobName": name})
        finished(sagemaker, name)


@pytest.fixture
def config(sagemaker: SageMakerService, bucket: S3Client) -> Iterator[str]:
    """An endpoint configuration of one instance; its endpoints are deleted in the end."""
    bucket.put_object(Bucket=BUCKET, Key="m.tar.gz", Body=archive({"weights": "w"}))
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/m.tar.gz"}
    model = {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": container}
    sagemaker.call("CreateModel", model)
    variant = {
        "VariantName": "A",
        "ModelName": "m",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.call(
        "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant]}
    )
    yield "c"


def in_service(sagemaker: SageMakerService, name: str) -> None:
    until(
        lambda: (
            sagemaker.call("DescribeEndpoint", {"EndpointName": name})["EndpointStatus"]
            == "InService"
        )
    )


def test_a_job_over_the_quota_is_refused_in_the_words_of_aws(sagemaker: SageMakerService) -> None:
    allow(sagemaker, TRAINING, 1)
    sagemaker.call("CreateTrainingJob", slow("one"))
    error = refusal(sagemaker, "CreateTrainingJob", slow("two"))
    assert (error.code, error.status) == ("ResourceLimitExceeded", 400)
    assert error.message == REFUSED.format(name=TRAINING, limit=1, used=1, more=1)
    with pytest.raises(ServiceError, match="Requested resource not found"):
        sagemaker.call("DescribeTrainingJob", {"TrainingJobName": "two"})
    stop(sagemaker, "one")
    sagemaker.call("CreateTrainingJob", slow("two"))
    stop(sagemaker, "two")


def test_a_quota_below_what_is_in_use_stops_nothing_and_lets_nothing_new_in(
    sagemaker: SageMakerService,
) -> None:
    sagemaker.call("CreateTrainingJob", slow("one"))
    sagemaker.call("CreateTrainingJob", slow("two"))
    allow(sagemaker, TRAINING, 1)
    error = refusal(sagemaker, "CreateTrainingJob", slow("three"))
    assert error.message == REFUSED.format(name=TRAINING, limit=1, used=2, more=1)
    for name in ("one", "two"):
        job = sagemaker.call("DescribeTrainingJob", {"TrainingJobName": name})
        assert job["TrainingJobStatus"] == "InProgress"
    stop(sagemaker, "one")
    refusal(sagemaker, "CreateTrainingJob", slow("three"))
    stop(sagemaker, "two")
    assert sagemaker.quotas.in_use()[TRAINING] == 0


@pytest.mark.parametrize(
    ("quota", "limit", "count", "used"),
    [
        (table.TOTAL["training"], 1, 1, 1),
        (table.LARGEST["training"], 2, 3, 0),
        (TRAINING, 3, 3, 1),
    ],
)
def test_every_quota_of_training_counts_instances(
    sagemaker: SageMakerService, quota: str, limit: int, count: int, used: int
) -> None:
    sagemaker.call("CreateTrainingJob", slow("one"))
    allow(sagemaker, quota, limit)
    request = job_request("two", ResourceConfig=instances(count))
    with pytest.raises(ServiceError) as caught, sagemaker.quotas.room(quotas.of_job(request)):
        pass
    wanted = REFUSED.format(name=quota, limit=limit, used=used, more=count)
    assert caught.value.message == wanted
    stop(sagemaker, "one")


def test_an_accelerated_type_is_not_allowed_until_somebody_asks(
    sagemaker: SageMakerService,
) -> None:
    request = job_request("gpu", ResourceConfig=instances(1, "ml.p3.2xlarge"))
    error = refusal(sagemaker, "CreateTrainingJob", request)
    name = "ml.p3.2xlarge for training job usage"
    assert error.message == REFUSED.format(name=name, limit=0, used=0, more=1)


def test_spot_and_on_demand_do_not_share_a_quota(sagemaker: SageMakerService) -> None:
    allow(sagemaker, SPOT, 0)
    request = job_request("spot", EnableManagedSpotTraining=True)
    with (
        pytest.raises(ServiceError, match="spot training job usage' is 0"),
        sagemaker.quotas.room(quotas.of_job(request)),
    ):
        pass
    with sagemaker.quotas.room(quotas.of_job(job_request("on-demand"))):
        pass


def test_a_type_that_aws_has_no_quota_for_is_not_there(sagemaker: SageMakerService) -> None:
    request = job_request("odd", ResourceConfig=instances(1, "ml.t3.medium"))
    error = refusal(sagemaker, "CreateTrainingJob", request)
    assert error.code == "ValidationException"
    assert "training-job/ml.t3.medium is not available in this region" in error.message


def test_an_endpoint_over_the_quota_is_refused_and_a_failed_one_holds_nothing(
    sagemaker: SageMakerService, config: str, bucket: S3Client
) -> None:
    allow(sagemaker, ENDPOINT, 1)
    sagemaker.call("CreateEndpoint", {"EndpointName": "one", "EndpointConfigName": config})
    error = refusal(
        sagemaker, "CreateEndpoint", {"EndpointName": "two", "EndpointConfigName": config}
    )
    assert error.message == REFUSED.format(name=ENDPOINT, limit=1, used=1, more=1)
    in_service(sagemaker, "one")
    # Gone only when its instance is.
    sagemaker.call("DeleteEndpoint", {"EndpointName": "one"})
    until(lambda: not sagemaker.quotas.in_use()[ENDPOINT])
    bucket.delete_object(Bucket=BUCKET, Key="m.tar.gz")
    sagemaker.call("CreateEndpoint", {"EndpointName": "bad", "EndpointConfigName": config})
    until(
        lambda: (
            sagemaker.call("DescribeEndpoint", {"EndpointName": "bad"})["EndpointStatus"]
            == "Failed"
        )
    )
    assert sagemaker.quotas.in_use()[ENDPOINT] == 0


def test_an_update_takes_new_instances_before_it_gives_the_old_ones_back(
    sagemaker: SageMakerService, config: str
) -> None:
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": config})
    in_service(sagemaker, "e")
    update = {"EndpointName": "e", "EndpointConfigName": config}
    allow(sagemaker, ENDPOINT, 1)
    error = refusal(sagemaker, "UpdateEndpoint", update)
    assert error.message == REFUSED.format(name=ENDPOINT, limit=1, used=1, more=1)
    assert (
        sagemaker.call("DescribeEndpoint", {"EndpointName": "e"})["EndpointStatus"] == "InService"
    )
    allow(sagemaker, ENDPOINT, 2)
    sagemaker.call("UpdateEndpoint", update)
    assert sagemaker.quotas.in_use()[ENDPOINT] == 2
    in_service(sagemaker, "e")
    assert sagemaker.quotas.in_use()[ENDPOINT] == 1


def test_scaling_out_is_refused_beyond_the_quota_and_scaling_in_never(
    sagemaker: SageMakerService, config: str
) -> None:
    def scale(count: int) -> dict[str, Any]:
        wanted = [{"VariantName": "A", "DesiredInstanceCount": count}]
        return {"EndpointName": "e", "DesiredWeightsAndCapacities": wanted}

    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": config})
    in_service(sagemaker, "e")
    allow(sagemaker, ENDPOINT, 2)
    error = refusal(sagemaker, "UpdateEndpointWeightsAndCapacities", scale(3))
    assert error.message == REFUSED.format(name=ENDPOINT, limit=2, used=1, more=2)
    sagemaker.call("UpdateEndpointWeightsAndCapacities", scale(2))
    assert sagemaker.quotas.in_use()[ENDPOINT] == 2
    in_service(sagemaker, "e")
    allow(sagemaker, ENDPOINT, 0)
    sagemaker.call("UpdateEndpointWeightsAndCapacities", scale(1))
    in_service(sagemaker, "e")
    assert sagemaker.quotas.in_use()[ENDPOINT] == 1


def test_two_hundred_at_once_never_exceed_the_quota(
    sagemaker: SageMakerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(sagemaker, TRAINING, 3)
    count = sagemaker.quotas.in_use

    def slowly() -> Counter[str]:
        found = count()
        # Whoever may count at the same time does so now, before the first is recorded.
        time.sleep(0.005)
        return found

    monkeypatch.setattr(sagemaker.quotas, "in_use", slowly)
    outcomes: list[str] = []
    together = threading.Barrier(200)

    def create(number: int) -> None:
        together.wait()
        try:
            sagemaker.call("CreateTrainingJob", slow(f"job-{number}"))
            outcomes.append("created")
        except ServiceError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=create, args=[number]) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(outcomes)) == ["ResourceLimitExceeded", "created"]
    assert outcomes.count("created") == 3
    jobs = sagemaker.call("ListTrainingJobs", {})["TrainingJobSummaries"]
    stop(sagemaker, *(job["TrainingJobName"] for job in jobs))


def test_the_local_account_begins_with_the_defaults_that_are_said() -> None:
    assert quota_values.on_aws(table.TOTAL["training"]) == 4
    assert quota_values.at_first(table.TOTAL["training"]) == 256
    assert quota_values.at_first("ml.g5.xlarge for endpoint usage") == 0
    assert quota_values.at_first(table.LARGEST["endpoint"]) == 20
    assert not quota_values.enforced("ml.m5.xlarge for cluster usage")


def test_limits_and_requests_outlive_the_platform_and_what_was_cut_off_is_given_back(
    aws: TestAws, bucket: S3Client, tmp_path: Path
) -> None:
    first = service(aws, tmp_path / "state")
    first.start()
    allow(first, TRAINING, 1)
    asked = {"ServiceCode": "sagemaker", "QuotaCode": table.codes()[TRAINING], "DesiredValue": 9}
    filed = first.service_quotas.call("RequestServiceQuotaIncrease", asked)["RequestedQuota"]
    first.call("CreateTrainingJob", slow("cut-off"))
    first.close()
    second = service(aws, tmp_path / "state")
    second.start()
    try:
        assert second.quotas.in_use()[TRAINING] == 0
        assert second.quotas.limit(TRAINING) == 1
        second.call("CreateTrainingJob", slow("next"))
        refusal(second, "CreateTrainingJob", slow("over"))
        second.service_quotas.administer({"approve": filed["Id"]})
        assert second.quotas.limit(TRAINING) == 9
    finally:
        second.close()
