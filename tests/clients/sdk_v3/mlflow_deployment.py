"""MLflow's own client of SageMaker: deploy, ask, update and delete a model.

`python mlflow_deployment.py ROLE IMAGE ARTIFACT` puts what the archive ARTIFACT holds into an
MLflow model, deploys it under IMAGE, and prints what came of it as one line of JSON. Nothing in it
knows of the local platform.
"""

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import boto3
import mlflow.pyfunc
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

NAME = "mlflow-kmeans"


class Served(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow is not installed here
    """A model whose image knows how to serve it: MLflow itself never calls this."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Say that it is the image that answers."""
        raise NotImplementedError


def saved(artifact: str) -> Path:
    """An MLflow model that carries the artifact of a training job."""
    folder = Path("model")
    mlflow.pyfunc.save_model(folder, python_model=Served(), pip_requirements=[])
    bucket, _, key = artifact.removeprefix("s3://").partition("/")
    boto3.client("s3").download_file(bucket, key, "model.tar.gz")
    with tarfile.open("model.tar.gz") as archive:
        for member in archive:
            # `filter` of extractall is younger than the oldest Python of this project.
            if body := archive.extractfile(member):
                (folder / member.name).write_bytes(body.read())
    return folder


def main() -> None:
    """Deploy, ask, update, ask again, delete."""
    role, image, artifact = sys.argv[1:]
    client = get_deploy_client("sagemaker:/us-east-1")
    config = {
        "execution_role_arn": role,
        "image_url": image,
        "bucket": "sagemaker-us-east-1-000000000000",
        "instance_type": "ml.m5.large",
        "instance_count": 1,
        "timeout_seconds": 120,
    }
    model = str(saved(artifact))
    found: dict[str, Any] = {}
    client.create_deployment(NAME, model, config=config)
    rows = [{"features": [0, 0, 0, 0]}, {"features": [4, 0, 0, 0]}, {"features": [0, 4, 4, 0]}]

    def clusters() -> list[float]:
        answer = client.predict(NAME, rows)
        return [row["closest_cluster"] for row in answer["predictions"]]

    found["status"] = client.get_deployment(NAME)["EndpointStatus"]
    found["listed"] = [one["EndpointName"] for one in client.list_deployments()]
    found["clusters"] = clusters()
    client.update_deployment(NAME, model, config={**config, "mode": "replace"})
    found["after_update"] = clusters()
    client.delete_deployment(NAME, config={"archive": False, "timeout_seconds": 120})
    try:
        client.get_deployment(NAME)
    except MlflowException as error:
        found["after_delete"] = str(error)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
