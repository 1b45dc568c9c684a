"""Plain boto3, with what `smp env` prints and nothing else, from data to prediction."""

import json
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from tests.local.support import ALGORITHMS, DIGITS, train
from tests.platform import LocalPlatform

# Where the answer of a classifier has the class.
LABELLED = {"linear-learner": "predicted_label", "xgboost": "score"}


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_trains_registers_deploys_invokes_updates_and_deletes(
    platform: LocalPlatform, hosting_role: str, algorithm: str
) -> None:
    case, name = ALGORITHMS[algorithm], f"Plain-{algorithm}-{uuid4().hex[:8]}"
    sagemaker, runtime = platform.client("sagemaker"), platform.client("sagemaker-runtime")
    train(platform, name, algorithm)
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert case["metric"] in {metric["MetricName"] for metric in job["FinalMetricDataList"]}

    group = sagemaker.create_model_package_group(ModelPackageGroupName=name)["ModelPackageGroupArn"]
    package = sagemaker.create_model_package(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        InferenceSpecification={
            "Containers": [
                {
                    "Image": case["image"],
                    "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
                }
            ],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    sagemaker.create_model(
        ModelName=name,
        PrimaryContainer={"ModelPackageName": package},
        ExecutionRoleArn=hosting_role,
        EnableNetworkIsolation=True,
    )
    for config in (name, f"{name}-2"):
        sagemaker.create_endpoint_config(
            EndpointConfigName=config,
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": name,
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 1,
                }
            ],
        )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    waiter = sagemaker.get_waiter("endpoint_in_service")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def predictions() -> list[dict[str, Any]]:
        answer = runtime.invoke_endpoint(
            EndpointName=name,
            ContentType="text/csv",
            Accept="application/json",
            Body="\n".join(DIGITS.held_out).encode(),
        )
        found: list[dict[str, Any]] = json.loads(answer["Body"].read())["predictions"]
        return found

    before = predictions()
    assert len(before) == len(DIGITS.labels)
    labels = np.array(DIGITS.labels)
    if algorithm in LABELLED:
        hits = np.array([row[LABELLED[algorithm]] for row in before]) == labels
        assert hits.mean() >= 0.93
    else:
        clusters = np.array([row["closest_cluster"] for row in before])
        purity = sum(np.bincount(labels[clusters == cluster]).max() for cluster in set(clusters))
        assert purity / len(clusters) >= 0.7

    sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=f"{name}-2")
    waiter.wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    assert endpoint["EndpointConfigName"] == f"{name}-2"
    assert predictions() == before

    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(
        EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    for config in (name, f"{name}-2"):
        sagemaker.delete_endpoint_config(EndpointConfigName=config)
    sagemaker.delete_model(ModelName=name)
    sagemaker.delete_model_package(ModelPackageName=package)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    assert name not in {m["ModelName"] for m in sagemaker.list_models()["Models"]}
