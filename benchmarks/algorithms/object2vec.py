"""Object2Vec on MovieLens-100k: ratings, what is liked, and pairs a second.

No library does the same. Beside it stands such a network in PyTorch alone, in a bare loop on pairs
that lie in memory. Times are processor time of one thread.
"""

import json
import re
import time
from typing import Any

import torch
from torch import nn

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
    """What a tenth of the ratings is told to be, after training on the others, and how fast."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured()
    finally:
        torch.set_num_threads(threads)


def _measured() -> list[Figure]:
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
        Figure("the same by PyTorch alone", "k/s", [_bare()], "an epoch"),
    ]


def _bare() -> float:
    """Thousands of pairs a second."""
    ratings, _ = split()
    users, items, labels = (
        torch.from_numpy(column)
        for column in (ratings.users, ratings.items, ratings.ratings.astype("float32"))
    )
    tables = [nn.Embedding(size, 32) for size in (USERS, ITEMS)]
    encoders = [nn.Sequential(nn.Linear(32, 64), nn.Dropout(0.2)) for _ in tables]
    answer = nn.Sequential(nn.Linear(256, 64), nn.Tanh(), nn.Dropout(0.2), nn.Linear(64, 1))
    network = nn.ModuleList([*tables, *encoders, answer])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.002)
    began = time.process_time()
    for rows in torch.randperm(len(labels)).split(256):
        optimizer.zero_grad()
        first = encoders[0](tables[0](users[rows]))
        second = encoders[1](tables[1](items[rows]))
        compared = [first * second, first, second, (first - second).abs()]
        found = answer(torch.cat(compared, dim=1))[:, 0]
        nn.functional.mse_loss(found, labels[rows]).backward()
        optimizer.step()
    return len(labels) / (time.process_time() - began) / 1e3


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
