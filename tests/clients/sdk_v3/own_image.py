"""Version 3 of the SageMaker Python SDK: ModelTrainer runs a script in an image of one's own.

`python own_image.py IMAGE` uploads a folder of code and one of data, lets the image run the script,
and prints what came of it as one line of JSON. Nothing in it knows of the local platform.
"""

import json
import sys
import tarfile
import uuid
from pathlib import Path

import boto3
from sagemaker.core.helper import IamRoleResolver
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import Compute, InputData, SourceCode
from sagemaker.train.model_trainer import ModelTrainer

NAME = f"v3-own-{uuid.uuid4().hex[:8]}"
SCRIPT = """
import json, os
train, model = os.environ["SM_CHANNEL_TRAIN"], os.environ["SM_MODEL_DIR"]
lines = sum(len(open(os.path.join(train, name)).readlines()) for name in os.listdir(train))
with open(os.path.join(model, "result.json"), "w") as file:
    json.dump({"lines": lines, "rate": json.loads(os.environ["SM_HPS"])["rate"]}, file)
"""


def main() -> None:
    """Train, and read what the script left as its model."""
    for path, text in (("code/fit.py", SCRIPT), ("data/a.csv", "1\n2\n3\n")):
        Path(path).parent.mkdir()
        Path(path).write_text(text)
    session = Session()
    resolver = IamRoleResolver(session)
    role = resolver.create_execution_role(
        "training", role_name=NAME, s3_resource=session.default_bucket()
    )
    trainer = ModelTrainer(
        training_image=sys.argv[1],
        role=role,
        sagemaker_session=session,
        base_job_name=NAME,
        source_code=SourceCode(source_dir="code", entry_script="fit.py"),
        hyperparameters={"rate": 0.5},
        compute=Compute(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=10),
    )
    trainer.train([InputData(channel_name="train", data_source="data")])
    job = trainer._latest_training_job
    bucket, _, key = job.model_artifacts.s3_model_artifacts.removeprefix("s3://").partition("/")
    boto3.client("s3").download_file(bucket, key, "model.tar.gz")
    with tarfile.open("model.tar.gz") as archive:
        member = archive.extractfile("result.json")
        assert member
        result = json.load(member)
    resolver.delete_execution_role("training", role_name=NAME)
    # What the SDK prints while it waits may have no end of line.
    print(f"\n{json.dumps({'status': job.training_job_status, 'result': result})}")


if __name__ == "__main__":
    main()
