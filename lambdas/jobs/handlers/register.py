"""Make a model package of what a training job left."""

import os
from typing import Any

from common.clients import client
from common.log import decided
from common.settings import required
from jobs import records
from jobs.registration import package

MODELS = required(os.environ, "MODELS_BUCKET")


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, str]:
    """Write metrics and sample beside the model, and register them together.

    A second call writes the same objects and, by its token, gets the same package.
    """
    job, training = event["job"], event["training"]
    name, s3 = job["name"], client("s3")
    metrics = {"job": training["job_arn"], "metrics": training["metrics"]}
    metrics_uri = records.write(s3, MODELS, name, "metrics.json", records.text(metrics))
    sample, sample_uri = job["request"].get("sample"), None
    if sample:
        body = sample["body"].encode()
        records.write(s3, MODELS, name, "sample", body, sample["content_type"])
        sample_uri = records.write(
            s3, MODELS, name, "sample.tar.gz", records.archive("sample", body), "application/gzip"
        )
    parameters = package(
        job,
        training,
        execution=event["execution"],
        metrics_uri=metrics_uri,
        request_uri=f"s3://{MODELS}/jobs/{name}/request.json",
        sample_uri=sample_uri,
    )
    arn = client("sagemaker").create_model_package(**parameters)["ModelPackageArn"]
    decided("registered", job=name, package=arn)
    return {"arn": arn, "metrics_uri": metrics_uri}
