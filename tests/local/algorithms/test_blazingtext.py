"""BlazingText on film reviews and news, through jobs and endpoints of the platform."""

import json
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pytest

from datasets.texts import lee, polarity
from tests.local.algorithms.support import Data, artifact, completed, fit, served
from tests.platform import LocalPlatform

NAME = "blazingtext"
# Few buckets: each takes room in the model, however little text there is.
SETTINGS = {
    "mode": "supervised",
    "epochs": 10,
    "learning_rate": 0.5,
    "min_count": 1,
    "vector_dim": 10,
    "buckets": 20_000,
    "word_ngrams": 2,
}
VECTORS = {"vector_dim": 50, "epochs": 5, "sampling_threshold": 0.001, "buckets": 20_000}


def halves() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Reviews to learn from, and others."""
    found = [*polarity()]
    order = np.random.default_rng(0).permutation(len(found)).tolist()
    return [found[i] for i in order[:150]], [found[i] for i in order[150:]]


def text(rows: list[tuple[str, str]]) -> bytes:
    return "".join(f"__label__{label} {sentence}\n" for sentence, label in rows).encode()


def news() -> bytes:
    return ("\n".join(lee()) + "\n").encode()


def manifest(platform: LocalPlatform, name: str, rows: list[tuple[str, str]]) -> Data:
    """An augmented manifest as a channel, whose attributes come through a pipe."""
    lines = "\n".join(json.dumps({"source": s, "label": label}) for s, label in rows)
    bucket, key = platform.parameter("storage/data-bucket"), f"manifests/blazingtext-{name}"
    platform.client("s3").put_object(Bucket=bucket, Key=key, Body=lines.encode())
    source = {
        "S3DataType": "AugmentedManifestFile",
        "S3Uri": f"s3://{bucket}/{key}",
        "AttributeNames": ["source", "label"],
    }
    options = {"RecordWrapperType": "RecordIO"}
    return Data({}, "application/x-recordio", mode="Pipe", source=source, options=options)


def overlap(one: Any, other: Any) -> float:
    """The share of the ten nearest words that two models agree on, over the commonest words."""

    def near(model: Any) -> list[set[str]]:
        rows = np.array([model.get_word_vector(word) for word in model.words])
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        order = np.argsort(-(rows[:100] @ rows.T), axis=1)[:, 1:11]
        return [{model.words[place] for place in places} for places in order]

    pairs = zip(near(one), near(other), strict=True)
    return float(np.mean([len(a & b) / 10 for a, b in pairs]))


def test_a_classifier_is_as_good_as_fasttext_itself_from_files_and_from_a_pipe(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    train, validation = halves()
    (tmp_path / "train.txt").write_bytes(text(train))
    (tmp_path / "validation.txt").write_bytes(text(validation))
    same = fasttext.train_supervised(
        str(tmp_path / "train.txt"),
        epoch=10,
        lr=0.5,
        minCount=1,
        dim=10,
        bucket=20_000,
        wordNgrams=2,
        thread=1,
        verbose=0,
    )
    expected = {
        f"{name}:accuracy": round(same.test(str(tmp_path / f"{name}.txt"))[1], 4)
        for name in ("train", "validation")
    }
    channels = {
        "train": Data({"train.txt": text(train)}, "text/plain"),
        "validation": Data({"validation.txt": text(validation)}, "text/plain"),
    }
    job = fit(platform, NAME, channels, SETTINGS)
    assert completed(job) == pytest.approx(expected, abs=1e-6)

    piped = {"train": manifest(platform, "train", train)}
    piped["validation"] = manifest(platform, "validation", validation)
    assert completed(fit(platform, NAME, piped, SETTINGS)) == pytest.approx(expected, abs=1e-6)

    with served(platform, NAME, job) as endpoint:
        sentences = [sentence for sentence, _ in validation[:5]]
        labels, chances = same.predict(sentences, k=2)
        body = json.dumps({"instances": sentences, "configuration": {"k": 2}})
        found = json.loads(endpoint.ask(body, "application/json"))
        assert [one["label"] for one in found] == labels
        for one, prob in zip(found, chances, strict=True):
            assert one["prob"] == pytest.approx(prob.tolist(), abs=1e-5)
        asked = "".join(json.dumps({"source": s}) + "\n" for s in sentences)
        answers = endpoint.ask(asked, "application/jsonlines", "application/jsonlines")
        assert [json.loads(a)["label"] for a in answers.splitlines()] == [x[:1] for x in labels]
        assert endpoint.refused("x", "application/octet-stream").startswith("415 ")
        assert endpoint.refused('{"instances": 3}', "application/json").startswith("400 ")


def test_words_have_the_neighbours_that_fasttext_finds(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    (tmp_path / "news.txt").write_bytes(news())
    same = fasttext.train_unsupervised(
        str(tmp_path / "news.txt"),
        model="skipgram",
        dim=50,
        epoch=5,
        t=0.001,
        bucket=20_000,
        thread=1,
        verbose=0,
    )
    channels = {"train": Data({"news.txt": news()}, "text/plain")}
    settings = {**VECTORS, "mode": "skipgram", "subwords": True}
    job = fit(platform, NAME, channels, settings)
    assert -1 <= completed(job)["train:mean_rho"] <= 1
    folder = artifact(platform, job, tmp_path)
    assert overlap(fasttext.load_model(str(folder / "vectors.bin")), same) >= 0.9
    with served(platform, NAME, job) as endpoint:
        body = json.dumps({"instances": ["government", "governmentish"]})
        known, unseen = json.loads(endpoint.ask(body, "application/json"))
        assert known["word"] == "government"
        one, other = np.array(known["vector"]), np.array(unseen["vector"])
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.5


def test_batches_on_two_hosts_make_vectors_as_good_as_on_one(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    channels = {"train": Data({"news.txt": news()}, "text/plain")}
    settings = {**VECTORS, "mode": "batch_skipgram"}
    found = []
    for hosts in (1, 2):
        job = fit(platform, NAME, channels, settings, hosts=hosts)
        completed(job)
        folder = artifact(platform, job, tmp_path / str(hosts))
        found.append(fasttext.load_model(str(folder / "vectors.bin")))
    one, both = found
    assert one.words == both.words
    # Of the same text in other orders; by chance, one word in a hundred and seventy would do.
    assert overlap(one, both) > 0.2


def test_corrupt_lines_fail_a_job_with_their_place(platform: LocalPlatform) -> None:
    channels = {"train": Data({"a.txt": b"__label__1 fine\nno label\n"}, "text/plain")}
    corrupt = fit(platform, NAME, channels, SETTINGS)
    assert corrupt["TrainingJobStatus"] == "Failed"
    assert "train/a.txt, line 2: no label" in corrupt["FailureReason"]
