"""Version 2 of the SageMaker Python SDK: scripts in AWS's images of frameworks.

`python frameworks.py ROLE NAME...` trains a script by the framework's own estimator, deploys it,
asks it, and prints what came of each as one line of JSON. Nothing in it knows of the local
platform.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from sagemaker import Session
from sagemaker.deserializers import JSONDeserializer
from sagemaker.predictor import Predictor
from sagemaker.pytorch import PyTorch
from sagemaker.s3 import S3Uploader
from sagemaker.serializers import CSVSerializer
from sagemaker.sklearn import SKLearn
from sagemaker.xgboost import XGBoost
from together import told

# Of y = 2 x + 1, and which of them are above 4.
ROWS = "".join(f"{2 * x + 1},{x}\n" for x in range(40))
SCIKIT_LEARN = """
import argparse, os
import joblib, numpy
from sklearn.linear_model import LinearRegression

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fit-intercept", type=lambda text: text == "True")
    parser.add_argument("--train", default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    given = parser.parse_args()
    rows = numpy.loadtxt(os.path.join(given.train, "a.csv"), delimiter=",")
    model = LinearRegression(fit_intercept=given.fit_intercept).fit(rows[:, 1:], rows[:, 0])
    print("intercept=%.2f" % model.intercept_)
    joblib.dump(model, os.path.join(given.model_dir, "model.joblib"))
"""
XGBOOST = """
import argparse, os
import numpy, xgboost

def model_fn(model_dir):
    model = xgboost.Booster()
    model.load_model(os.path.join(model_dir, "model.json"))
    return model

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num_round", type=int)
    given = parser.parse_args()
    rows = numpy.loadtxt(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.csv"), delimiter=",")
    data = xgboost.DMatrix(rows[:, [1, 1]], label=rows[:, 0])
    model = xgboost.train({"nthread": 1}, data, given.num_round)
    model.save_model(os.path.join(os.environ["SM_MODEL_DIR"], "model.json"))
"""
PYTORCH = """
import os
import numpy, torch

class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, x):
        return self.linear(x)

def model_fn(model_dir):
    model = Line()
    model.load_state_dict(torch.load(os.path.join(model_dir, "model.pth")))
    return model

if __name__ == "__main__":
    rows = numpy.loadtxt(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.csv"), delimiter=",")
    y, x = torch.tensor(rows, dtype=torch.float32).T[:, :, None]
    # The least squares, in one step.
    found = torch.linalg.lstsq(torch.hstack([x, torch.ones_like(x)]), y).solution
    model = Line()
    with torch.no_grad():
        model.linear.weight[:], model.linear.bias[:] = found[0], found[1]
    torch.save(model.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
"""
INSTANCE: dict[str, Any] = {"instance_count": 1, "instance_type": "ml.m5.large"}


def scikit_learn(session: Session, role: str) -> dict[str, Any]:
    """Train, find a metric, and ask in the SDK's own format, NPY."""
    estimator = SKLearn(
        _script("sklearn", SCIKIT_LEARN),
        framework_version="1.2-1",
        role=role,
        hyperparameters={"fit-intercept": True},
        metric_definitions=[{"Name": "intercept", "Regex": "intercept=([0-9.]+)"}],
        sagemaker_session=session,
        **INSTANCE,
    )
    estimator.fit({"train": _data(session, "sklearn")}, logs=False)
    job = session.describe_training_job(estimator.latest_training_job.name)
    predictor = estimator.deploy(1, "ml.m5.large", wait=False)
    session.wait_for_endpoint(predictor.endpoint_name, poll=1)
    answer = predictor.predict(np.array([[5.0], [6.0]])).tolist()
    _delete(predictor)
    metrics = {one["MetricName"]: one["Value"] for one in job["FinalMetricDataList"]}
    return {"answer": answer, "metrics": metrics}


def xgboost(session: Session, role: str) -> dict[str, Any]:
    """Train with a script, and ask in CSV."""
    estimator = XGBoost(
        _script("xgb", XGBOOST),
        framework_version="3.0-5",
        role=role,
        hyperparameters={"num_round": 50},
        sagemaker_session=session,
        **INSTANCE,
    )
    estimator.fit({"train": _data(session, "xgboost")}, logs=False)
    predictor = estimator.deploy(
        1,
        "ml.m5.large",
        wait=False,
        serializer=CSVSerializer(),
        deserializer=JSONDeserializer(),
    )
    session.wait_for_endpoint(predictor.endpoint_name, poll=1)
    answer = predictor.predict("5,5\n6,6")
    _delete(predictor)
    return {"answer": answer}


def pytorch(session: Session, role: str) -> dict[str, Any]:
    """Train without a network, and ask in the SDK's own format, NPY."""
    estimator = PyTorch(
        _script("torch", PYTORCH),
        framework_version="2.3.0",
        py_version="py311",
        role=role,
        enable_network_isolation=True,
        sagemaker_session=session,
        **INSTANCE,
    )
    estimator.fit({"train": _data(session, "pytorch")}, logs=False)
    predictor = estimator.deploy(1, "ml.m5.large", wait=False)
    session.wait_for_endpoint(predictor.endpoint_name, poll=1)
    answer = predictor.predict(np.array([[5.0], [6.0]], dtype=np.float32)).tolist()
    _delete(predictor)
    return {"answer": answer}


def _script(folder: str, text: str) -> str:
    path = Path(folder) / "fit.py"
    path.parent.mkdir()
    path.write_text(text)
    return str(path)


def _data(session: Session, name: str) -> str:
    uri = f"s3://{session.default_bucket()}/sdk-v2/{name}/a.csv"
    S3Uploader.upload_string_as_file_body(ROWS, uri, sagemaker_session=session)
    return uri


def _delete(predictor: Predictor) -> None:
    predictor.delete_model()
    predictor.delete_endpoint()


FRAMEWORKS = {"scikit-learn": scikit_learn, "xgboost": xgboost, "pytorch": pytorch}

if __name__ == "__main__":
    print(told(sys.argv[1], {name: FRAMEWORKS[name] for name in sys.argv[2:]}))
