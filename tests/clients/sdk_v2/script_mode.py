"""Version 2 of the SageMaker Python SDK: a script of one's own in an image of one's own.

`python script_mode.py IMAGE ROLE` runs a script by the generic estimator, in an image with
SageMaker's training toolkit, and prints what it left as one line of JSON. Nothing in it knows of
the local platform.
"""

import io
import json
import sys
import tarfile
from pathlib import Path

from sagemaker import Session
from sagemaker.estimator import Estimator
from sagemaker.s3 import S3Downloader, S3Uploader

SCRIPT = """
import argparse, json, os

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
rate = parser.parse_args().rate
with open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.csv")) as file:
    lines = len(file.readlines())
with open(os.path.join(os.environ["SM_MODEL_DIR"], "result.json"), "w") as file:
    json.dump({"rate": rate, "lines": lines}, file)
"""


def main(image: str, role: str) -> None:
    """Upload the data, run the script, and read what it left in the model's archive."""
    session = Session()
    uri = f"s3://{session.default_bucket()}/sdk-v2/script/a.csv"
    S3Uploader.upload_string_as_file_body("1,2\n3,4\n5,6\n", uri, sagemaker_session=session)
    code = Path("code")
    code.mkdir()
    (code / "fit.py").write_text(SCRIPT)
    estimator = Estimator(
        image,
        role,
        instance_count=1,
        instance_type="ml.m5.large",
        source_dir=str(code),
        entry_point="fit.py",
        hyperparameters={"rate": 0.5},
        sagemaker_session=session,
    )
    estimator.fit({"train": uri}, wait=False)
    job = estimator.latest_training_job.name
    session.logs_for_job(job, wait=True, poll=1)
    archive = S3Downloader.read_bytes(estimator.model_data, sagemaker_session=session)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile("result.json")
        result = json.load(file) if file else None
    status = session.describe_training_job(job)["TrainingJobStatus"]
    print(json.dumps({"status": status, "result": result}))


if __name__ == "__main__":
    main(*sys.argv[1:])
