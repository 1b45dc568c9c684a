"""A training job of BlazingText."""

from __future__ import annotations

import json
import tempfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from algorithms.blazingtext import batches, early, engine, similarity
from algorithms.blazingtext.corpus import Corpus, prepared
from algorithms.blazingtext.engine import Settings, Trained
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.peers import meet
from algorithms.toolkit.training import log

if TYPE_CHECKING:
    from algorithms.toolkit.job import Job

CLASSIFIER, VECTORS, VECTORS_TEXT, EVALUATION = (
    "model.bin",
    "vectors.bin",
    "vectors.txt",
    "eval.json",
)

_WORD_VECTORS = frozenset(
    (
        "evaluation",
        "max_char",
        "min_char",
        "negative_samples",
        "sampling_threshold",
        "subwords",
        "window_size",
    )
)
_CLASSIFIERS = frozenset(("early_stopping", "min_epochs", "patience", "word_ngrams"))


def run(job: Job) -> None:
    """Train in the job's mode and leave the artifact.

    Raises:
        CustomerError: Settings or channels do not go together, or the data will not do.
    """
    check(job)
    for name in sorted(without_effect(job)):
        log.info("Hyperparameter %s has no effect here", name)
    with tempfile.TemporaryDirectory(dir=job.base, prefix="text-") as folder:
        if job.hyperparameters["mode"] == "supervised":
            _classifier(job, Path(folder))
        else:
            _vectors(job, Path(folder))


def check(job: Job) -> None:
    """Refuse what does not go together.

    Raises:
        CustomerError: with a sentence for each.
    """
    values = job.hyperparameters
    mode = values["mode"]
    problems = []
    if len(job.hosts) > 1 and mode != "batch_skipgram":
        problems.append(
            f"Mode {mode} trains on one instance, not on {len(job.hosts)}; "
            "mode batch_skipgram trains on several"
        )
    if mode != "supervised" and "validation" in job.channels:
        problems.append(f"Channel validation is for mode supervised, and not for {mode}")
    if values["early_stopping"] and mode == "supervised" and "validation" not in job.channels:
        problems.append("Hyperparameter early_stopping needs the channel validation")
    if values["subwords"] and mode == "batch_skipgram":
        problems.append(
            "Hyperparameter subwords: value True is not supported in mode batch_skipgram, whose "
            "vectors are of whole words; use skipgram or cbow"
        )
    if job.given.get("evaluation") and mode != "supervised" and similarity.pairs() is None:
        problems.append(
            "Hyperparameter evaluation: value True is not supported by this image, which was "
            f"built without {similarity.FILE}; set it to False"
        )
    if problems:
        raise CustomerError("; ".join(problems))


def without_effect(job: Job) -> set[str]:
    """The hyperparameters that were given and that the others leave nothing to do."""
    values, given = job.hyperparameters, set(job.given)
    idle: set[str] = set()
    if values["mode"] == "supervised":
        idle |= _WORD_VECTORS
        if not values["early_stopping"]:
            idle |= {"min_epochs", "patience"}
        if values["word_ngrams"] == 1:
            idle |= {"buckets"}
    else:
        idle |= _CLASSIFIERS
        if not values["subwords"]:
            idle |= {"buckets", "min_char", "max_char"}
    if values["mode"] != "batch_skipgram":
        idle |= {"batch_size"}
    return given & idle


def _classifier(job: Job, folder: Path) -> None:
    values = job.hyperparameters
    train = prepared(job.channels["train"], folder, labelled=True)
    validation = None
    if "validation" in job.channels:
        validation = prepared(job.channels["validation"], folder, labelled=True)
    settings = Settings(
        model="supervised",
        lr=values["learning_rate"],
        dim=values["vector_dim"],
        epoch=values["epochs"],
        minCount=values["min_count"],
        wordNgrams=values["word_ngrams"],
        bucket=values["buckets"],
        thread=engine.threads(train.size, values["epochs"]),
    )
    started = time.monotonic()
    if values["early_stopping"] and validation is not None:
        patience = early.Patience(values["patience"], values["min_epochs"])
        model = early.fit(train.path, validation.path, settings, patience)
    else:
        model = engine.train(train.path, settings)
    _trained(model, started)
    for name, corpus in (("train", train), ("validation", validation)):
        if corpus is not None:
            count, accuracy = model.accuracy(corpus.path)
            log.info("#%s_accuracy: %.4f", name, accuracy)
            log.info("Number of %s examples: %d", name, count)
    model.save(job.model_dir / CLASSIFIER)


def _vectors(job: Job, folder: Path) -> None:
    values = job.hyperparameters
    train = prepared(job.channels["train"], folder, labelled=False)
    batch = values["mode"] == "batch_skipgram"
    settings = Settings(
        model="skipgram" if batch else values["mode"],
        lr=values["learning_rate"],
        dim=values["vector_dim"],
        epoch=values["epochs"],
        minCount=values["min_count"],
        ws=values["window_size"],
        neg=values["negative_samples"],
        t=values["sampling_threshold"],
        minn=values["min_char"] if values["subwords"] else 0,
        maxn=values["max_char"] if values["subwords"] else 0,
        bucket=values["buckets"],
        thread=engine.threads(train.size, values["epochs"]),
    )
    started = time.monotonic()
    if not batch:
        model = engine.train(train.path, settings)
        _trained(model, started)
        _leave(job, model)
        return
    with meet(job) as peers:
        same = peers.gather({"text": np.array([train.size, _sum(train)])})
        if any((each["text"] != same[0]["text"]).any() for each in same):
            raise CustomerError(
                "The hosts have different text in channel train; its data must be FullyReplicated"
            )
        model = batches.fit(train.path, settings, values["batch_size"], peers)
        _trained(model, started)
        if peers.first:
            _leave(job, model)
        # Nobody leaves before all are through: who ends early looks like one that died.
        peers.gather({})


def _sum(corpus: Corpus) -> int:
    with corpus.path.open("rb") as file:
        return zlib.crc32(file.read(1024 * 1024))


def _trained(model: Trained, started: float) -> None:
    log.info("Vocabulary: %d words", len(model.words))
    log.info("Training finished in %.2f seconds", time.monotonic() - started)


def _leave(job: Job, model: Trained) -> None:
    """Write vectors as text and as fastText's binary, and how they agree with people's ratings."""
    write_text(job.model_dir / VECTORS_TEXT, model)
    model.save(job.model_dir / VECTORS)
    if not job.hyperparameters["evaluation"]:
        return
    pairs = similarity.pairs()
    if pairs is None:
        log.info("No evaluation: this image was built without %s", similarity.FILE)
        return
    found = similarity.evaluated(model.words, model.vector, pairs)
    if found["mean_rho"] is None:
        log.info("No #mean_rho: fewer than two pairs of the evaluation are in the vocabulary")
    else:
        log.info("#mean_rho: %.4f", found["mean_rho"])
    (job.model_dir / EVALUATION).write_text(json.dumps(found))


def write_text(path: Path, model: Trained) -> None:
    """Write the word vectors in word2vec's form: how many, how long, then one word a line."""
    width = model.inputs.shape[1]
    form = " ".join(["%s", *["%.6g"] * width]) + "\n"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(model.words)} {width}\n")
        for word in model.words:
            file.write(form % (word, *model.vector(word).tolist()))
