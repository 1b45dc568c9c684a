"""IP Insights on simulated logins, with the settings of AWS's sample.

No library does the same. Beside it stands what a list would tell: how much of an address, from its
beginning, is that of one which the user came from before. The nearest in speed is Word2Vec of
gensim, which learns a vector for each user and whole address, also against made-up ones.
"""

import re
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from gensim.models import Word2Vec

from algorithms import ipinsights
from algorithms.ipinsights.pairs import Reader
from algorithms.toolkit.classification import roc_auc
from benchmarks.algorithms import _processes as processes
from benchmarks.measuring import Figure
from datasets.logins import Logins, World, unseen

RUNS = 3
USERS, LOGINS = 5000, 100_000
VECTORS = 20_000
SETTINGS = {
    "num_entity_vectors": VECTORS,
    "vector_dim": 128,
    "random_negative_sampling_rate": 5,
    "mini_batch_size": 1000,
    "epochs": 5,
    "learning_rate": 0.01,
}

Scores = npt.NDArray[np.float64]


def measure() -> list[Figure]:
    """ROC AUC of logins from new addresses against intruders, and how fast it learns."""
    own, listed, above, speeds, memory = [], [], [], [], []
    for seed in range(RUNS):
        world = World(users=USERS, seed=seed)
        known = world.logins(LOGINS)
        later, intruders = unseen(world.logins(10_000), known), world.intrusions(5000)
        truth = np.repeat([1, 0], [len(later), len(intruders)])
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            channels = {"train": ("text/csv", {"logins.csv": known.csv()})}
            spent = processes.train("ipinsights", base, channels, SETTINGS, OMP_NUM_THREADS="1")
            model = ipinsights.load(base / "model")
        speeds += [float(one) for one in re.findall(r"throughput=(\S+)", spent.output)]
        memory.append(spent.megabytes)

        def scores(found: Logins, network: torch.nn.Module = model.network) -> Scores:
            reader = Reader(VECTORS)
            users = [reader.entity(f"user_{user}") for user in found.users.tolist()]
            addresses = torch.from_numpy(found.addresses.astype(np.int64))
            product = network.of_entities(torch.tensor(users)) * network.of_addresses(addresses)
            return np.asarray(product.sum(dim=1).numpy(), dtype=np.float64)

        own.append(100 * _area([scores(later), scores(intruders)], truth))
        listed.append(100 * _area([_common(later, known), _common(intruders, known)], truth))
        foreign = Logins(known.users[: len(intruders)], intruders.addresses)
        usual = known.take(slice(0, len(intruders)))
        above.append(100 * float((scores(usual) > scores(foreign)).mean()))
    return [
        Figure("unseen pairs against intruders: ROC AUC", "%", own, "goal >= 90"),
        Figure("the same by the longest known prefix", "%", listed),
        Figure("a usual address scores above a foreign one", "%", above),
        Figure("training", "records/s", speeds, f"{LOGINS} logins, 7 pairs each, one thread"),
        Figure("training by Word2Vec", "records/s", _words(), "the same logins, one thread"),
        Figure("peak memory", "MB", memory),
    ]


def _words() -> list[float]:
    """Logins a second of each epoch of Word2Vec, of which each is a sentence of two words."""
    known = World(users=USERS, seed=0).logins(LOGINS)
    pairs = zip(known.users.tolist(), known.addresses.tolist(), strict=True)
    sentences = [[f"user_{user}", str(address)] for user, address in pairs]
    # Nothing is left out for being frequent.
    model = Word2Vec(
        vector_size=128, window=1, min_count=1, sg=1, negative=5, sample=0, workers=1, seed=1
    )
    model.build_vocab(sentences)
    speeds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        model.train(sentences, total_examples=len(sentences), epochs=1)
        speeds.append(len(sentences) / (time.perf_counter() - began))
    return speeds


def _area(parts: list[Scores], truth: npt.NDArray[np.int64]) -> float:
    return roc_auc(np.concatenate(parts), truth) or 0.0


def _common(found: Logins, known: Logins) -> Scores:
    """How many bits of an address are, from its beginning, those of a known one of its user."""
    longest = np.zeros(len(found))
    for bits in range(1, 33):
        own, other = (
            (each.users << 32) | (each.addresses.astype(np.int64) >> (32 - bits))
            for each in (found, known)
        )
        longest[np.isin(own, other)] = bits
    return longest
