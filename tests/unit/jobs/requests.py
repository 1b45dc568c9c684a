"""A request for each built-in algorithm that AWS would take."""

from copy import deepcopy
from typing import Any

PROTOBUF = "application/x-recordio-protobuf"
GPU = {"instance_types": ["ml.g4dn.xlarge"]}


def channel(content_type: str | None = None, name: str = "train", **more: str) -> dict[str, Any]:
    given = {"s3_uri": f"s3://data/{name}/", **more}
    return {**given, "content_type": content_type} if content_type else given


def channels(content_type: str | None, *names: str) -> dict[str, Any]:
    return {name: channel(content_type, name) for name in names}


REQUESTS: dict[str, dict[str, Any]] = {
    "blazingtext": {
        "hyperparameters": {"mode": "batch_skipgram"},
        "channels": channels("text/plain", "train"),
    },
    "deepar": {
        "hyperparameters": {
            "context_length": 24,
            "prediction_length": 24,
            "time_freq": "H",
            "epochs": 20,
        },
        "channels": channels("json", "train"),
    },
    "factorization-machines": {
        "hyperparameters": {
            "feature_dim": 784,
            "num_factors": 8,
            "predictor_type": "binary_classifier",
        },
        "channels": channels(PROTOBUF, "train"),
    },
    "image-classification": {
        "hyperparameters": {"num_classes": 10, "num_training_samples": 1000},
        "channels": channels("application/x-recordio", "train", "validation"),
        **GPU,
    },
    "ipinsights": {
        "hyperparameters": {"num_entity_vectors": 20000, "vector_dim": 128},
        "channels": channels("text/csv", "train"),
    },
    "kmeans": {
        "hyperparameters": {"k": 10, "feature_dim": 784},
        "channels": channels(PROTOBUF, "train"),
    },
    "knn": {
        "hyperparameters": {
            "feature_dim": 784,
            "k": 10,
            "predictor_type": "classifier",
            "sample_size": 1000,
        },
        "channels": channels(PROTOBUF, "train"),
    },
    "lda": {
        "hyperparameters": {"feature_dim": 25, "num_topics": 5, "mini_batch_size": 100},
        "channels": channels(PROTOBUF, "train"),
    },
    "linear-learner": {
        "hyperparameters": {"predictor_type": "binary_classifier", "feature_dim": 784},
        "channels": channels(PROTOBUF, "train"),
    },
    "ntm": {
        "hyperparameters": {"feature_dim": 2000, "num_topics": 20},
        "channels": channels(PROTOBUF, "train"),
    },
    "object-detection": {
        "hyperparameters": {"num_classes": 2, "num_training_samples": 1000},
        "channels": channels("application/x-recordio", "train", "validation"),
        **GPU,
    },
    "object2vec": {
        "hyperparameters": {
            "enc0_max_seq_len": 10,
            "enc0_vocab_size": 1000,
            "enc1_max_seq_len": 10,
            "enc1_vocab_size": 1000,
        },
        "channels": channels("application/jsonlines", "train"),
    },
    "pca": {
        "hyperparameters": {"feature_dim": 784, "mini_batch_size": 200, "num_components": 10},
        "channels": channels(PROTOBUF, "train"),
    },
    "randomcutforest": {
        "hyperparameters": {"feature_dim": 1},
        "channels": {
            "train": channel("text/csv;label_size=0", distribution="ShardedByS3Key"),
        },
    },
    "semantic-segmentation": {
        "hyperparameters": {"num_classes": 21, "num_training_samples": 1464},
        "channels": {
            **channels("image/jpeg", "train", "validation"),
            **channels("image/png", "train_annotation", "validation_annotation"),
        },
        **GPU,
    },
    "seq2seq": {
        "hyperparameters": {},
        "channels": {
            **channels(PROTOBUF, "train", "validation"),
            "vocab": channel("application/json", "vocab"),
        },
        **GPU,
    },
    "xgboost": {
        "hyperparameters": {"num_round": 50, "objective": "multi:softmax", "num_class": 10},
        "channels": channels("text/csv", "train", "validation"),
    },
}


def request(algorithm: str = "xgboost", **changes: Any) -> dict[str, Any]:
    return {"algorithm": algorithm, **deepcopy(REQUESTS[algorithm]), **changes}


def complete(**changes: Any) -> dict[str, Any]:
    return request(
        **{
            "name": "digits",
            "register": {"group": "digits", "approval": "Approved"},
            "sample": {"content_type": "text/csv", "body": "0,1,2"},
            "deploy": {"endpoint": "digits"},
            **changes,
        }
    )
