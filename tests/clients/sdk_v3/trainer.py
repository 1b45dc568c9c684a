"""Version 3 of the SageMaker Python SDK: ModelTrainer, and the resource classes.

`python trainer.py ROLE` trains k-means with a role that the SDK makes, since it finds that ROLE
lacks what it asks of one that trains; serves it with ROLE; trains more of the built-in algorithms
on the same data; and prints what came of it as one line of JSON. Nothing in it knows of the local
platform.
"""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from sagemaker.core import image_uris
from sagemaker.core.helper import IamRoleResolver
from sagemaker.core.helper.iam_role_resolver import RoleValidationError
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import Endpoint, EndpointConfig, Model, TrainingJob
from sagemaker.core.shapes import (
    AlgorithmSpecification,
    Channel,
    ContainerDefinition,
    DataSource,
    OutputDataConfig,
    ProductionVariant,
    ResourceConfig,
    S3DataSource,
    StoppingCondition,
)
from sagemaker.core.training.configs import Compute, InputData
from sagemaker.train.model_trainer import ModelTrainer

# What more algorithms learn of the same points; the first value of a point is its label where they
# take one.
ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {
    "pca": (
        "text/csv;label_size=0",
        {"feature_dim": 4, "num_components": 2, "mini_batch_size": 60},
    ),
    "linear-learner": ("text/csv", {"predictor_type": "regressor", "epochs": 1}),
    "xgboost": ("text/csv", {"objective": "reg:squarederror", "num_round": 2}),
}
NAME = f"v3-{uuid.uuid4().hex[:8]}"
CONTENT = "text/csv;label_size=0"
HYPERPARAMETERS = {"k": "3", "feature_dim": "4"}
CENTERS = np.array([[0, 0, 0, 0], [4, 0, 0, 0], [0, 4, 4, 0]])
POINTS = CENTERS[np.repeat([0, 1, 2], 60)] + np.random.default_rng(0).normal(0, 0.3, (180, 4))


def trainer(session: Session, image: str, role: str) -> ModelTrainer:
    """A trainer of k-means."""
    return ModelTrainer(
        training_image=image,
        role=role,
        sagemaker_session=session,
        base_job_name=NAME,
        hyperparameters=HYPERPARAMETERS,
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
    )


def refused(session: Session, image: str, role: str) -> str:
    """What the SDK says of a role, after it has simulated its policies."""
    try:
        trainer(session, image, role)
    except RoleValidationError as error:
        return str(error)
    return ""


def trained(session: Session, image: str, role: str) -> TrainingJob:
    """Train from files of this machine, which the SDK uploads."""
    folder = Path("data")
    folder.mkdir()
    np.savetxt(folder / "points.csv", POINTS, delimiter=",")
    model_trainer = trainer(session, image, role)
    model_trainer.train(
        [InputData(channel_name="train", data_source=str(folder), content_type=CONTENT)]
    )
    return model_trainer._latest_training_job


def several(session: Session, first: TrainingJob, role: str) -> dict[str, Any]:
    """Train more algorithms at the same time on what is uploaded; the status of each."""
    uri = first.input_data_config[0].data_source.s3_data_source.s3_uri
    jobs = {}
    for name, (content_type, hyperparameters) in ALGORITHMS.items():
        version = "3.0-5" if name == "xgboost" else "1"
        model_trainer = ModelTrainer(
            training_image=image_uris.retrieve(name, session.boto_region_name, version=version),
            role=role,
            sagemaker_session=session,
            base_job_name=f"{NAME}-{name}",
            hyperparameters=hyperparameters,
            compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
        )
        channel = InputData(channel_name="train", data_source=uri, content_type=content_type)
        model_trainer.train([channel], wait=False)
        jobs[name] = model_trainer._latest_training_job
    for job in jobs.values():
        job.wait(poll=1)
    return {name: job.refresh().training_job_status for name, job in jobs.items()}


def created(first: TrainingJob, image: str, role: str) -> TrainingJob:
    """Train on what the trainer uploaded, with the resource class alone."""
    source = first.input_data_config[0].data_source.s3_data_source
    job = TrainingJob.create(
        training_job_name=f"{NAME}-resource",
        role_arn=role,
        algorithm_specification=AlgorithmSpecification(
            training_image=image, training_input_mode="File"
        ),
        hyper_parameters=HYPERPARAMETERS,
        input_data_config=[
            Channel(
                channel_name="train",
                content_type=CONTENT,
                data_source=DataSource(
                    s3_data_source=S3DataSource(
                        s3_data_type="S3Prefix",
                        s3_uri=source.s3_uri,
                        s3_data_distribution_type="FullyReplicated",
                    )
                ),
            )
        ],
        output_data_config=OutputDataConfig(s3_output_path=first.output_data_config.s3_output_path),
        resource_config=ResourceConfig(
            instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10
        ),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
    )
    job.wait(poll=1)
    return TrainingJob.get(job.training_job_name)


def served(job: TrainingJob, image: str, role: str) -> dict[str, Any]:
    """Serve a model, ask it, give it a new configuration, and delete all."""
    model = Model.create(
        model_name=NAME,
        primary_container=ContainerDefinition(
            image=image, model_data_url=job.model_artifacts.s3_model_artifacts
        ),
        execution_role_arn=role,
    )
    configs = [
        EndpointConfig.create(
            endpoint_config_name=f"{NAME}-{number}",
            production_variants=[
                ProductionVariant(
                    variant_name="AllTraffic",
                    model_name=model.model_name,
                    instance_type="ml.m5.large",
                    initial_instance_count=number,
                )
            ],
        )
        for number in (1, 2)
    ]
    endpoint = Endpoint.create(
        endpoint_name=NAME, endpoint_config_name=configs[0].endpoint_config_name
    )
    endpoint.wait_for_status("InService", poll=1)

    def clusters() -> list[float]:
        body = "\n".join(",".join(map(str, row)) for row in POINTS[::60])
        answer = endpoint.invoke(body=body, content_type="text/csv", accept="application/json")
        found = json.loads(answer.body.read())["predictions"]
        return [row["closest_cluster"] for row in found]

    before = clusters()
    endpoint.endpoint_config_name = configs[1].endpoint_config_name
    endpoint.update()
    endpoint.wait_for_status("InService", poll=1)
    after = clusters()
    instances = endpoint.refresh().production_variants[0].current_instance_count
    endpoint.delete()
    endpoint.wait_for_delete(poll=1)
    for config in configs:
        config.delete()
    model.delete()
    return {"clusters": before, "after_update": after, "instances": instances}


def main() -> None:
    """Make a role, be refused another, train twice, serve."""
    session = Session()
    image = image_uris.retrieve("kmeans", session.boto_region_name)
    resolver = IamRoleResolver(session)
    role = resolver.create_execution_role(
        "training", role_name=NAME, s3_resource=session.default_bucket()
    )
    first = trained(session, image, role)
    second = created(first, image, role)
    found = {
        "role": role,
        "refused": refused(session, image, sys.argv[1]),
        "trainer": first.training_job_status,
        "resource": second.training_job_status,
        "artifact": second.model_artifacts.s3_model_artifacts,
        "image": image,
        "metrics": [metric.metric_name for metric in second.final_metric_data_list],
        "listed": [job.training_job_name for job in TrainingJob.get_all(name_contains=NAME)],
        "endpoint": served(second, image, sys.argv[1]),
        "several": several(session, first, role),
    }
    resolver.delete_execution_role("training", role_name=NAME)
    # What the SDK prints while it waits may have no end of line.
    print(f"\n{json.dumps(found)}")


if __name__ == "__main__":
    main()
