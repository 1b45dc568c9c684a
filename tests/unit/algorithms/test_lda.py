import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from algorithms.catalog import algorithm
from algorithms.lda import Model, load, moments
from algorithms.lda.documents import mixtures
from algorithms.lda.model import FORMAT, MODEL_FILE
from algorithms.lda.tensor import decomposed
from algorithms.toolkit import arrays
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import Refusal, invoke
from datasets import topics as bars
from tests.unit.algorithms.conftest import JobFolder, csv

NewJob = Callable[[str], JobFolder]
CSV, RECORDIO = "text/csv;label_size=0", "application/x-recordio-protobuf"
REQUIRED = {"num_topics": 5, "feature_dim": 25, "mini_batch_size": 600}


@cache
def corpus(documents: int = 600, seed: int = 0) -> bars.Corpus:
    return bars.griffiths_steyvers(documents, length=60, seed=seed)


def job_on(new_job: NewJob, counts: Any, **channels: Any) -> JobFolder:
    job = new_job("lda")
    for name, each in {"train": counts, **channels}.items():
        job.channel(name, CSV, {"a.csv": csv(each)})
    return job


def pwll(log: str) -> float:
    found = re.search(algorithm("lda").metrics[0].regex, log)
    assert found, log
    return float(found[1])


def test_a_sum_of_cubes_is_taken_apart() -> None:
    random = np.random.default_rng(2)
    vectors, _ = np.linalg.qr(random.normal(size=(6, 6)))
    sizes = np.array([5.0, 4, 3, 2, 1, 0.5])
    tensor = np.einsum("r,ir,jr,kr->ijk", sizes, vectors, vectors, vectors)
    settings: dict[str, Any] = {"restarts": 3, "iterations": 500, "tolerance": 1e-8}
    found, parts = decomposed(tensor, random=random, **settings)
    order = np.argsort(-found)
    np.testing.assert_allclose(found[order], sizes, rtol=1e-6)
    np.testing.assert_allclose(parts[:, order], vectors, atol=1e-6)


def fit(restarts: int, iterations: int, tolerance: float) -> float:
    """How far the cubes are from a tensor of noise."""
    random = np.random.default_rng(4)
    noise = random.normal(size=(5, 5, 5))
    tensor: Any = noise + noise.transpose(1, 2, 0) + noise.transpose(2, 0, 1)
    tensor = tensor + tensor.transpose(0, 2, 1)
    sizes, parts = decomposed(
        tensor, restarts=restarts, iterations=iterations, tolerance=tolerance, random=random
    )
    return float(((tensor - np.einsum("r,ir,jr,kr->ijk", sizes, parts, parts, parts)) ** 2).sum())


def test_more_restarts_and_rounds_and_less_tolerance_come_closer() -> None:
    assert fit(20, 300, 1e-8) < fit(1, 300, 1e-8)
    assert fit(1, 300, 1e-8) < fit(1, 2, 1e-8)
    assert fit(1, 300, 1e-8) < fit(1, 300, 10.0)


def test_the_moments_alone_find_the_bars_and_their_weights() -> None:
    known = bars.griffiths_steyvers(4000, seed=3)
    settings: dict[str, Any] = {"restarts": 10, "iterations": 1000, "tolerance": 1e-8}
    counts, random = csr_matrix(known.counts.astype(float)), np.random.default_rng(0)
    just, more = moments.topics(counts, 5, alpha0=1.0, random=random, **settings)
    assert bars.topic_error(known.topics, just.topics) < 0.02
    np.testing.assert_allclose(just.alpha, 0.2, atol=0.02)
    # Where there are more than the five that are asked for, those beside them help.
    assert bars.topic_error(known.topics, more.topics) < 0.3


def test_the_topics_of_the_artifact_are_the_bars_and_the_mixtures_those_drawn(
    new_job: NewJob,
) -> None:
    known = corpus()
    job = job_on(new_job, known.counts, test=corpus(100, 1).counts)
    assert job.train(**REQUIRED) == 0, job.failure
    model = load(job.model)
    assert bars.topic_error(known.topics, model.topics) <= 0.02
    np.testing.assert_allclose(model.alpha, 0.2, atol=0.05)
    assert (np.diff(model.alpha) <= 0).all()
    fresh = corpus(100, 1)
    pairs = np.abs(known.topics[:, None] - model.topics[None]).sum(axis=2).argmin(axis=1)
    answers = model.predict(Table(fresh.counts))
    shares = np.array([answer["topic_mixture"] for answer in answers])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert np.abs(shares[:, pairs] - fresh.mixtures).mean() < 0.05
    # No one can tell a word better than who knows the topics and the mixtures.
    odds = np.log(fresh.mixtures @ known.topics)
    best = float((fresh.counts * odds).sum() / fresh.counts.sum())
    assert best - 0.2 < pwll(job.log) < best


def test_the_bound_is_below_the_likelihood_and_near_it() -> None:
    random = np.random.default_rng(0)
    topics, alpha = random.dirichlet(np.ones(6), size=2), np.array([0.5, 1.5])
    counts = random.multinomial(12, np.full(6, 1 / 6), size=3)
    # With two topics, the share of the first is one number: the integral is a sum.
    share = (np.arange(20_000) + 0.5) / 20_000
    from scipy.stats import beta

    prior = beta.pdf(share, *alpha)
    odds = np.log(np.outer(share, topics[0]) + np.outer(1 - share, topics[1]))
    true = np.log((np.exp(counts @ odds.T) * prior).mean(axis=1))
    bound = mixtures(csr_matrix(counts.astype(float)), topics, alpha).bound
    assert (bound < true).all()
    np.testing.assert_allclose(bound, true, atol=0.8)


def test_a_document_is_told_the_same_alone_as_among_others() -> None:
    known = corpus()
    model = Model((known.topics + 1e-3) / (1 + 25e-3), np.full(5, 0.2))
    together = model.predict(Table(known.counts[:20]))
    for row in range(20):
        (alone,) = model.predict(Table(known.counts[row : row + 1]))
        np.testing.assert_allclose(alone["topic_mixture"], together[row]["topic_mixture"], 1e-9)
    (empty,) = model.predict(Table(np.zeros((1, 25), np.float32)))
    np.testing.assert_allclose(empty["topic_mixture"], 0.2)


def test_recordio_sparse_or_piped_gives_the_model_that_csv_gives(new_job: NewJob) -> None:
    known = corpus()
    text = job_on(new_job, known.counts)
    assert text.train(**REQUIRED) == 0, text.failure
    files = new_job("lda")
    halves = [Table(csr_matrix(half)) for half in np.split(known.counts, 2)]
    bodies = [recordio.write(half) for half in halves]
    files.channel("train", RECORDIO, {"a.pbr": bodies[0], "b.pbr": bodies[1]})
    assert files.train(**REQUIRED) == 0, files.failure
    piped = new_job("lda")
    piped.pipe("train", RECORDIO, *bodies)
    assert piped.train(**REQUIRED) == 0, piped.failure
    first = load(text.model)
    for other in (files, piped):
        np.testing.assert_array_equal(first.topics, load(other.model).topics)
        np.testing.assert_array_equal(first.alpha, load(other.model).alpha)


def test_alpha0_tells_how_mixed_documents_are() -> None:
    known = bars.griffiths_steyvers(3000, alpha=5.0)
    errors = {}
    for alpha0 in (0.5, 5.0):
        settings: dict[str, Any] = {"restarts": 2, "iterations": 200, "tolerance": 1e-6}
        found, _ = moments.topics(
            csr_matrix(known.counts.astype(float)),
            5,
            alpha0=alpha0,
            random=np.random.default_rng(0),
            **settings,
        )
        errors[alpha0] = bars.topic_error(known.topics, found.topics)
    assert errors[5.0] < 0.05 < 0.2 < errors[0.5]


def test_no_more_documents_than_mini_batch_size_are_used_and_the_log_says_so(
    new_job: NewJob,
) -> None:
    job = job_on(new_job, corpus().counts)
    assert job.train(**{**REQUIRED, "mini_batch_size": 300}) == 0, job.failure
    assert "mini_batch_size is 300, but the train channel has 600 documents: so many" in job.log
    assert "Looking for topics in 300 documents" in job.log
    more = job_on(new_job, corpus().counts)
    assert more.train(**{**REQUIRED, "mini_batch_size": 9999}) == 0, more.failure
    assert "mini_batch_size is 9999, but the train channel has 600 documents: all" in more.log


@pytest.mark.parametrize(
    ("body", "settings", "message"),
    [
        (b"1,2,3\n0,-1,2\n", {}, "train/a.csv, record 2, feature 1: a word occurs -1 times"),
        (b"1,2,3\n0,x,2\n", {}, "train/a.csv, line 2"),
        (b"1,2,3\n0,nan,2\n", {}, "train/a.csv, line 2"),
        (b"1,2\n0,1\n", {}, "feature_dim is 3, but train/a.csv, record 1 of channel train has 2"),
        (b"1,1,0\n0,1,1\n", {}, "No document has 3 words"),
        (b"5,0,0\n0,5,0\n0,0,5\n", {"num_topics": 9}, "num_topics is 9, but the documents do not"),
        (b"1,2,3\n" * 9, {"num_topics": 2}, "num_topics is 2, but the documents do not"),
        (b"1,2,3\n", {"tol": 0}, "tol"),
        (b"1,2,3\n", {"alpha0": -1}, "alpha0"),
        (b"1,2,3\n", {"max_restarts": 0}, "max_restarts"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", str(value))[:30],
)
def test_says_what_is_wrong_and_where(
    body: bytes, settings: dict[str, Any], message: str, new_job: NewJob
) -> None:
    job = new_job("lda")
    job.channel("train", CSV, {"a.csv": body})
    required = {"num_topics": 1, "feature_dim": 3, "mini_batch_size": 9}
    assert job.train(**{**required, **settings}) == 1, job.log
    assert job.failure.startswith("ClientError: ") and message in job.failure, job.failure


def test_text_in_a_pipe_and_several_hosts_are_refused(new_job: NewJob) -> None:
    job = new_job("lda")
    job.pipe("train", CSV, csv(corpus().counts))
    assert job.train(**REQUIRED) == 1
    assert "text/csv is not read in Pipe mode; use File mode" in job.failure
    several = job_on(new_job, corpus().counts)
    path = several.base / "input" / "config" / "resourceconfig.json"
    path.write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}))
    assert several.train(**REQUIRED) == 1
    assert "Training on 2 hosts is not supported" in several.failure


DOCUMENT = [0.0, 2.0, 1.0]
BODIES = {
    "application/json": b'{"instances":[{"features":[0,2,1]}]}',
    "application/jsonlines": b'{"data":{"features":{"keys":[1,2],"shape":[3],"values":[2,1]}}}\n',
    "text/csv": b"0,2,1\n",
    RECORDIO: recordio.write(Table(csr_matrix(np.array([DOCUMENT], np.float32)))),
}


@pytest.mark.parametrize("content_type", BODIES)
def test_every_request_gets_every_answer_of_the_contract(content_type: str) -> None:
    model = Model(np.array([[0.8, 0.1, 0.1], [0.1, 0.6, 0.3]]), np.array([0.5, 0.5]))
    (expected,) = model.predict(Table(np.array([DOCUMENT], np.float32)))
    assert expected["topic_mixture"][1] > 0.7
    body = BODIES[content_type]
    _, kind, answer = invoke(model, body, content_type, None, batch=False)
    assert kind == "application/json"
    assert json.loads(answer) == {"predictions": [expected]}
    _, _, line = invoke(model, body, content_type, "application/jsonlines", batch=False)
    assert json.loads(line) == expected
    _, _, text = invoke(model, body, content_type, "text/csv", batch=True)
    assert text.decode() == ",".join(map(str, expected["topic_mixture"])) + "\n"
    _, _, written = invoke(model, body, content_type, RECORDIO, batch=False)
    (message,) = recordio.frames(written, "x")
    assert np.array(expected["topic_mixture"], np.float32).tobytes() in bytes(message)


def test_counts_below_nothing_and_another_width_are_refused() -> None:
    model = Model(np.full((2, 3), 1 / 3), np.array([0.5, 0.5]))
    with pytest.raises(Refusal, match=r"feature 1: a word occurs -2 times") as refused:
        invoke(model, b"0,-2,1", "text/csv", None, batch=False)
    assert refused.value.status == 400
    with pytest.raises(Refusal, match=r"wrong width: 2 values, the model takes 3"):
        invoke(model, b"0,2", "text/csv", None, batch=False)


def test_artifacts_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model_algo-1").touch()
    with pytest.raises(CustomerError, match="MXNet file of AWS's own image"):
        load(tmp_path)
    good = {"topics": np.full((2, 3), 1 / 3), "alpha": np.full(2, 0.5)}
    for name, wrong in {
        "topics": np.full((3, 3), 1 / 3),
        "alpha": np.array([0.5, np.inf]),
    }.items():
        arrays.save(tmp_path / MODEL_FILE, FORMAT, 1, **{**good, name: wrong})
        with pytest.raises(CustomerError, match="holds no topics"):
            load(tmp_path)
    arrays.save(tmp_path / MODEL_FILE, FORMAT, 2, **good)
    with pytest.raises(CustomerError, match="format version 2; this image reads up to 1"):
        load(tmp_path)
