"""Version 2 of the SageMaker Python SDK: estimators, predictors, their update and their end.

`python estimators.py ROLE` trains, deploys and asks KMeans, LinearLearner and XGBoost, and prints
what came of it as one line of JSON. Nothing in it knows of the local platform.
"""

import sys
from typing import Any

import numpy as np
from sagemaker import KMeans, LinearLearner, Session, image_uris
from sagemaker.deserializers import CSVDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.predictor import Predictor
from sagemaker.s3 import S3Uploader
from sagemaker.serializers import CSVSerializer
from together import told

INSTANCE = {"instance_count": 1, "instance_type": "ml.m5.large"}
RANDOM = np.random.default_rng(0)
# Three clouds of points; the first two are told apart by their first feature alone.
CENTERS = np.array([[0, 0, 0, 0], [4, 0, 0, 0], [0, 4, 4, 0]], dtype=np.float32)
LABELS = np.repeat([0, 1, 2], 60)
POINTS = (CENTERS[LABELS] + RANDOM.normal(0, 0.3, (180, 4))).astype(np.float32)


def kmeans(session: Session, role: str) -> dict[str, Any]:
    """The whole life of a model, as the SDK's own examples have it, with its logs."""
    estimator = KMeans(role=role, k=3, sagemaker_session=session, **INSTANCE)
    estimator.fit(estimator.record_set(POINTS))
    predictor = estimator.deploy(1, "ml.m5.large", wait=False)
    endpoint = predictor.endpoint_name
    session.wait_for_endpoint(endpoint, poll=1)
    clusters = [closest_cluster(record) for record in predictor.predict(POINTS[::60])]

    predictor.update_endpoint(initial_instance_count=2, instance_type="ml.m5.large", wait=False)
    session.wait_for_endpoint(endpoint, poll=1)
    described = session.describe_endpoint(endpoint)
    again = [closest_cluster(record) for record in predictor.predict(POINTS[::60])]
    predictor.delete_model()
    predictor.delete_endpoint()
    return {
        "artifact": estimator.model_data,
        "clusters": clusters,
        "instances": described["ProductionVariants"][0]["CurrentInstanceCount"],
        "after_update": again,
        "endpoint": endpoint,
    }


def closest_cluster(record: Any) -> float:
    """What a record of k-means answers."""
    return float(record.label["closest_cluster"].float32_tensor.values[0])


def linear_learner(session: Session, role: str) -> dict[str, Any]:
    """A classifier, attached to by the name of its job as from another notebook."""
    two = LABELS < 2
    estimator = LinearLearner(
        role=role,
        predictor_type="binary_classifier",
        epochs=5,
        sagemaker_session=session,
        **INSTANCE,
    )
    records = estimator.record_set(POINTS[two], labels=LABELS[two].astype(np.float32))
    estimator.fit(records, wait=False)
    session.logs_for_job(estimator.latest_training_job.name, wait=True, poll=1)
    attached = LinearLearner.attach(estimator.latest_training_job.name, sagemaker_session=session)
    predictor = attached.deploy(1, "ml.m5.large", wait=False)
    session.wait_for_endpoint(predictor.endpoint_name, poll=1)
    answers = predictor.predict(POINTS[two])
    labels = [answer.label["predicted_label"].float32_tensor.values[0] for answer in answers]
    predictor.delete_model()
    predictor.delete_endpoint()
    return {"right": float(np.mean(np.array(labels) == LABELS[two]))}


def xgboost(session: Session, role: str) -> dict[str, Any]:
    """The generic estimator with the image of XGBoost, on CSV, with its metrics."""
    rows = "\n".join(f"{y}," + ",".join(map(str, x)) for y, x in zip(LABELS, POINTS, strict=True))
    uri = f"s3://{session.default_bucket()}/sdk-v2/xgboost/a.csv"
    S3Uploader.upload_string_as_file_body(rows, uri, sagemaker_session=session)
    estimator = Estimator(
        image_uris.retrieve("xgboost", session.boto_region_name, version="1.7-1"),
        role,
        hyperparameters={"objective": "multi:softmax", "num_class": 3, "num_round": 5},
        tags=[{"Key": "team", "Value": "clients"}],
        sagemaker_session=session,
        **INSTANCE,
    )
    estimator.fit({"train": TrainingInput(uri, content_type="text/csv")}, wait=False)
    job = estimator.latest_training_job.name
    session.logs_for_job(job, wait=True, poll=1)
    metrics = estimator.training_job_analytics.dataframe()
    predictor = estimator.deploy(
        1,
        "ml.m5.large",
        wait=False,
        serializer=CSVSerializer(),
        deserializer=CSVDeserializer(),
    )
    session.wait_for_endpoint(predictor.endpoint_name, poll=1)
    # As another program would, by the name alone.
    other = Predictor(
        predictor.endpoint_name, session, serializer=CSVSerializer(), deserializer=CSVDeserializer()
    )
    answer = other.predict(POINTS)
    predictor.delete_model()
    predictor.delete_endpoint()
    return {
        "right": float(np.mean(np.array(answer, dtype=float).ravel() == LABELS)),
        "metrics": sorted(set(metrics["metric_name"])) if len(metrics) else [],
        "tags": session.sagemaker_client.list_tags(
            ResourceArn=session.describe_training_job(job)["TrainingJobArn"]
        )["Tags"],
    }


def main() -> None:
    """Do all three."""
    print(told(sys.argv[1], {each.__name__: each for each in (kmeans, linear_learner, xgboost)}))


if __name__ == "__main__":
    main()
