"""Version 2 of the SageMaker Python SDK: its own estimators of the built-in algorithms.

`python first_party.py ROLE NAME ...` trains, deploys and asks those that are named at the same
time, and prints what they answered as one line of JSON. Nothing in it knows of the local platform.
KMeans and LinearLearner are in estimators.py.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from sagemaker import (
    KNN,
    LDA,
    NTM,
    PCA,
    FactorizationMachines,
    IPInsights,
    Object2Vec,
    RandomCutForest,
    Session,
)
from sagemaker.amazon.amazon_estimator import RecordSet
from sagemaker.deserializers import JSONDeserializer
from sagemaker.s3 import S3Uploader
from sagemaker.serializers import JSONSerializer
from together import told

INSTANCE = {"instance_count": 1, "instance_type": "ml.m5.large"}
# Three clouds of points, whose spread is along the last feature above all.
CLOUDS = np.repeat([0, 1, 2], 60)
CENTERS = np.array([[0, 0, 0], [4, 0, 9], [0, 4, 20]])
NOISE = np.random.default_rng(1).normal(0, 0.3, size=(180, 3))
POINTS = (CENTERS[CLOUDS] + NOISE).astype(np.float32)


def served(session: Session, estimator: Any, rows: Any) -> Any:
    """What a model answers for rows, at an endpoint that is deleted afterwards."""
    predictor = estimator.deploy(1, "ml.m5.large", wait=False)
    session.wait_for_endpoint(predictor.endpoint_name, poll=1)
    answer = predictor.predict(rows)
    predictor.delete_model()
    predictor.delete_endpoint()
    return answer


def random_cut_forest(session: Session, role: str) -> dict[str, Any]:
    """Scores of usual points and of one that is far away."""
    random = np.random.default_rng(0)
    points = random.normal(size=(1000, 3)).astype(np.float32)
    estimator = RandomCutForest(
        role=role, num_samples_per_tree=16, num_trees=50, sagemaker_session=session, **INSTANCE
    )
    estimator.fit(estimator.record_set(points), logs=False)
    asked = np.concatenate([points[:5], np.full((1, 3), 30, np.float32)])
    answer = served(session, estimator, asked)
    return {"scores": [float(one.label["score"].float32_tensor.values[0]) for one in answer]}


def ip_insights(session: Session, role: str) -> dict[str, Any]:
    """Scores of users at an address of their own network, and at one of another's."""
    random = np.random.default_rng(0)
    lines = [
        f"user_{user},{60 + user}.7.{first}.{last}"
        for user in range(20)
        for first, last in random.integers(200, size=(100, 2)).tolist()
    ]
    uri = f"s3://{session.default_bucket()}/sdk-v2/ipinsights/"
    S3Uploader.upload_string_as_file_body(
        "\n".join(lines), f"{uri}a.csv", sagemaker_session=session
    )
    estimator = IPInsights(
        role=role,
        num_entity_vectors=500,
        vector_dim=8,
        epochs=8,
        learning_rate=0.02,
        sagemaker_session=session,
        **INSTANCE,
    )
    records = RecordSet(uri, num_records=len(lines), feature_dim=2, s3_data_type="S3Prefix")
    estimator.fit(records, mini_batch_size=500, logs=False)
    pairs = [
        [f"user_{user}", f"{60 + user + away}.7.250.250"] for away in (0, 1) for user in (3, 9)
    ]
    answer = served(session, estimator, np.array(pairs))
    return {"dot_products": [one["dot_product"] for one in answer["predictions"]]}


def factorization_machines(session: Session, role: str) -> dict[str, Any]:
    """Whether two signs are the same, which no linear model can tell."""
    random = np.random.default_rng(0)
    signs = random.choice([-1, 1], size=(400, 2)).astype(np.float32)
    labels = (signs[:, 0] == signs[:, 1]).astype(np.float32)
    estimator = FactorizationMachines(
        role=role,
        num_factors=2,
        predictor_type="binary_classifier",
        epochs=30,
        factors_lr=0.05,
        factors_init_sigma=0.1,
        sagemaker_session=session,
        **INSTANCE,
    )
    records = estimator.record_set(signs, labels=labels)
    estimator.fit(records, mini_batch_size=100, logs=False)
    answer = served(session, estimator, signs[:50])
    found = [one.label["predicted_label"].float32_tensor.values[0] for one in answer]
    return {"right": float((np.array(found) == labels[:50]).mean())}


def topics_told(
    session: Session, estimator: Any, output: str, documents: int, batch: int
) -> dict[str, Any]:
    """Documents of which each has the words of one of two topics."""
    random = np.random.default_rng(0)
    chosen = np.arange(documents) % 2
    topics = np.repeat(np.eye(2), 3, axis=1) / 3
    counts = random.multinomial(30, topics[chosen]).astype(np.float32)
    estimator.fit(estimator.record_set(counts), mini_batch_size=batch, logs=False)
    answer = served(session, estimator, counts[:50])
    mixtures = np.array([one.label[output].float32_tensor.values for one in answer])
    together = mixtures.argmax(axis=1) == mixtures[0].argmax()
    return {
        "right": float((together == (chosen[:50] == chosen[0])).mean()),
        "sums": mixtures.sum(axis=1).tolist(),
    }


def lda(session: Session, role: str) -> dict[str, Any]:
    """Two topics, by their moments."""
    estimator = LDA(role=role, num_topics=2, sagemaker_session=session, **INSTANCE)
    return topics_told(session, estimator, "topic_mixture", documents=200, batch=200)


def ntm(session: Session, role: str) -> dict[str, Any]:
    """Two topics, by an encoder and a decoder."""
    estimator = NTM(
        role=role,
        num_topics=2,
        epochs=50,
        num_patience_epochs=10,
        sagemaker_session=session,
        **INSTANCE,
    )
    return topics_told(session, estimator, "topic_weights", documents=400, batch=50)


def numbers(answer: Any, name: str) -> list[list[float]]:
    """What each record of an answer has under a name."""
    return [list(record.label[name].float32_tensor.values) for record in answer]


def pca(session: Session, role: str) -> dict[str, Any]:
    """Where a point of each cloud lies along two components."""
    estimator = PCA(role=role, num_components=2, sagemaker_session=session, **INSTANCE)
    estimator.fit(estimator.record_set(POINTS), logs=False)
    return {"projections": numbers(served(session, estimator, POINTS[::60]), "projection")}


def knn(session: Session, role: str) -> dict[str, Any]:
    """The labels that the neighbours of a point of each cloud have."""
    estimator = KNN(
        role=role,
        k=3,
        sample_size=180,
        predictor_type="classifier",
        index_type="faiss.IVFFlat",
        sagemaker_session=session,
        **INSTANCE,
    )
    records = estimator.record_set(POINTS, labels=CLOUDS.astype(np.float32))
    estimator.fit(records, logs=False)
    return {"labels": numbers(served(session, estimator, POINTS[::60]), "predicted_label")}


def object2vec(session: Session, role: str) -> dict[str, Any]:
    """How sure it is that two sequences are of one half of the vocabulary, for two pairs."""
    random = np.random.default_rng(0)
    lines = []
    for first, second in random.integers(2, size=(400, 2)).tolist():
        one, other = ((6 * half + random.integers(6, size=3)).tolist() for half in (first, second))
        lines.append(json.dumps({"label": int(first == second), "in0": one, "in1": other}))
    uri = f"s3://{session.default_bucket()}/sdk-v2/object2vec/"
    S3Uploader.upload_string_as_file_body(
        "\n".join(lines), f"{uri}a.jsonl", sagemaker_session=session
    )
    estimator = Object2Vec(
        role=role,
        epochs=10,
        enc0_max_seq_len=3,
        enc0_vocab_size=12,
        enc0_network="pooled_embedding",
        enc_dim=16,
        mlp_dim=16,
        mlp_activation="relu",
        learning_rate=0.01,
        sagemaker_session=session,
        **INSTANCE,
    )
    # The SDK sends feature_dim, which AWS's image refuses: it is left out where it is None.
    records = RecordSet(uri, num_records=len(lines), feature_dim=None, s3_data_type="S3Prefix")
    estimator.fit(records, mini_batch_size=20, logs=False)
    predictor = estimator.deploy(
        1,
        "ml.m5.large",
        wait=False,
        serializer=JSONSerializer(),
        deserializer=JSONDeserializer(),
    )
    session.wait_for_endpoint(predictor.endpoint_name, poll=1)
    pairs = [{"in0": [1, 2, 3], "in1": [second]} for second in (4, 10)]
    answer = predictor.predict({"instances": pairs})
    predictor.delete_model()
    predictor.delete_endpoint()
    return {"together": [one["scores"][1] for one in answer["predictions"]]}


ESTIMATORS: dict[str, Callable[[Session, str], dict[str, Any]]] = {
    "pca": pca,
    "knn": knn,
    "randomcutforest": random_cut_forest,
    "factorization-machines": factorization_machines,
    "lda": lda,
    "ntm": ntm,
    "ipinsights": ip_insights,
    "object2vec": object2vec,
}


def main() -> None:
    """Do those that are named."""
    role, *names = sys.argv[1:]
    print(told(role, {name: ESTIMATORS[name] for name in names}))


if __name__ == "__main__":
    main()
