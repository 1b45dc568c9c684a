"""Object2Vec on MovieLens-100k: ratings, what is liked, and pairs a second."""

import json
import re
from typing import Any

from benchmarks.algorithms._training import trained
from benchmarks.measuring import Figure
from datasets.movielens import ITEMS, USERS, Ratings, split

_SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": 1,
    "enc0_vocab_size": USERS,
    "enc0_token_embedding_dim": 32,
    "enc1_network": "pooled_embedding",
    "enc1_max_seq_len": 1,
    "enc1_vocab_size": ITEMS,
    "enc1_token_embedding_dim": 32,
    "enc_dim": 64,
    "mlp_dim": 64,
    "mlp_layers": 1,
    "mlp_activation": "tanh",
    "mini_batch_size": 256,
    "learning_rate": 0.002,
    "dropout": 0.2,
}


def measure() -> list[Figure]:
    """What a tenth of the ratings is told to be, after training on the others."""
    epochs = 6
    regression: dict[str, Any] = {"output_layer": "mean_squared_error", "epochs": epochs}
    with trained("object2vec", _channels(binary=False), {**_SETTINGS, **regression}) as job:
        squares = _last(job.log, "validation mean_squared_error <loss>")
        speed = epochs * len(split()[0]) / job.seconds / 1e3
    with trained("object2vec", _channels(binary=True), {**_SETTINGS, "epochs": 4}) as job:
        right = _last(job.log, "validation accuracy <score>")
    return [
        Figure("MovieLens-100k: RMSE of the rating", "", [squares**0.5], "goal: 0.95"),
        Figure("MovieLens-100k: accuracy of what is liked", "", [right], "goal: 0.70"),
        Figure("pairs a second of the processor, start included", "k/s", [speed]),
    ]


def _last(log: str, what: str) -> float:
    return float(re.findall(rf"{what}=(\S+)", log)[-1])


def _channels(*, binary: bool) -> dict[str, tuple[str, dict[str, bytes]]]:
    names = ("train", "validation")
    parts = zip(names, split(), strict=True)
    return {name: ("application/jsonlines", {"a": _lines(part, binary)}) for name, part in parts}


def _lines(ratings: Ratings, binary: bool) -> bytes:
    labels = (ratings.ratings >= 4).astype(int) if binary else ratings.ratings
    columns = (labels.tolist(), ratings.users.tolist(), ratings.items.tolist())
    rows = (
        json.dumps({"label": label, "in0": [user], "in1": [item]})
        for label, user, item in zip(*columns, strict=True)
    )
    return "\n".join(rows).encode()
