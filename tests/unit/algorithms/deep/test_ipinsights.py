import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.catalog import algorithm
from algorithms.ipinsights import job as jobs
from algorithms.ipinsights import model as module
from algorithms.ipinsights.network import PREFIXES, Network, parameters, prefix_bits
from algorithms.ipinsights.pairs import Pairs, Reader
from algorithms.ipinsights.training import Tally, Trainer, batches, made_up
from algorithms.toolkit import deep
from algorithms.toolkit.classification import roc_auc
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import pieces
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.invocations import Refusal, invoke
from datasets.logins import Logins, World, dotted, unseen
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]
CSV = "text/csv"
SMALL = {
    "num_entity_vectors": 400,
    "vector_dim": 8,
    "mini_batch_size": 500,
    "learning_rate": 0.02,
    "epochs": 3,
}


@cache
def logins() -> tuple[Logins, Logins, Logins]:
    """Logins to learn from, later ones from addresses not met before, and those of intruders."""
    world = World(users=200, networks=60)
    known = world.logins(6000)
    return known, unseen(world.logins(2000), known), world.intrusions(1000)


def trained(new_job: NewJob, body: bytes | None = None, **settings: Any) -> JobFolder:
    job = new_job("ipinsights")
    job.channel("train", CSV, {"a.csv": logins()[0].csv() if body is None else body})
    assert job.train(**{**SMALL, **settings}) == 0, job.failure
    return job


def scores(model: module.Model, found: Logins) -> Any:
    answer = invoke(model, found.csv(), CSV, "application/json", batch=False)[2]
    return np.array([one["dot_product"] for one in json.loads(answer)["predictions"]])


def told_apart(model: module.Model) -> float:
    _, later, intruders = logins()
    found = np.concatenate([scores(model, later), scores(model, intruders)])
    area = roc_auc(found, np.repeat([1, 0], [len(later), len(intruders)]))
    assert area is not None
    return area


def logged(log: str, metric: str) -> list[float]:
    (regex,) = [one.regex for one in algorithm("ipinsights").metrics if one.name == metric]
    return [float(value) for value in re.findall(regex, log)]


@pytest.fixture(scope="module")
def model() -> module.Model:
    torch.manual_seed(0)
    network = Network(100, 4, 1)
    with torch.no_grad():
        network.prefixes.normal_()
    return module.Model(network)


def test_later_logins_from_new_addresses_score_above_intruders(new_job: NewJob) -> None:
    job = trained(new_job)
    assert told_apart(module.load(job.model)) >= 0.93


def test_the_address_of_a_user_is_more_usual_for_them_than_for_others(new_job: NewJob) -> None:
    found, known = module.load(trained(new_job).model), logins()[0].take(slice(0, 1000))
    others = Logins(np.roll(known.users, 1), known.addresses)
    assert np.median(scores(found, known)) > 1 > 0 > np.median(scores(found, others))


def test_every_metric_of_the_catalogue_is_found_in_the_log_by_its_expression(
    new_job: NewJob,
) -> None:
    known, later, _ = logins()
    job = new_job("ipinsights")
    job.channel("train", CSV, {"a.csv": known.csv()})
    job.channel("validation", CSV, {"a.csv": later.csv()})
    assert job.train(**{**SMALL, "batch_metrics_publish_interval": 5}) == 0, job.failure
    found = {one.name: logged(job.log, one.name) for one in algorithm("ipinsights").metrics}
    # Three epochs of twelve batches, of which every fifth is told of, from the first on.
    lengths = {name: len(values) for name, values in found.items()}
    assert lengths == {
        "validation:discriminator_auc": 3,
        "train:binary_classification_accuracy": 9,
        "train:binary_classification_cross_entropy": 9,
        "train:binary_classification_accuracy:epoch": 3,
        "train:binary_classification_cross_entropy:epoch": 3,
        "train:progress": 3,
        "train:throughput": 3,
    }
    assert found["train:progress"] == [pytest.approx(100 * part / 3, 1e-4) for part in (1, 2, 3)]
    assert job.log.count("samples/sec") == 9
    losses = found["train:binary_classification_cross_entropy:epoch"]
    assert losses == sorted(losses, reverse=True)
    assert found["validation:discriminator_auc"][-1] > 0.9


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"num_entity_vectors": 7}, (7, 8)),
        ({"vector_dim": 5}, (400, 5)),
        ({"num_ip_encoder_layers": 0}, (400, 8)),
        ({"num_ip_encoder_layers": 3}, (400, 8)),
    ],
)
def test_sizes_are_those_asked_for(
    settings: dict[str, Any], shape: tuple[int, int], new_job: NewJob
) -> None:
    network = module.load(trained(new_job, epochs=1, **settings).model).network
    assert tuple(network.entities.shape) == shape
    assert len(network.encoder.layers) == settings.get("num_ip_encoder_layers", 1)


def test_a_hundred_layers_can_be_trained(new_job: NewJob) -> None:
    job = trained(new_job, epochs=2, num_ip_encoder_layers=100)
    assert told_apart(module.load(job.model)) > 0.8


@pytest.mark.parametrize("layers", [0, 3])
def test_any_number_of_layers_tells_them_apart(layers: int, new_job: NewJob) -> None:
    assert told_apart(module.load(trained(new_job, num_ip_encoder_layers=layers).model)) > 0.9


@pytest.mark.parametrize(
    ("sampling", "pairs"), [((1, 1), 3), ((3, 0), 4), ((0, 2), 3), ((5, 5), 11)]
)
def test_each_pair_is_held_against_as_many_made_up_ones_as_asked(
    sampling: tuple[int, int], pairs: int, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[tuple[float, int]] = []

    class Watched(Trainer):
        def step(self, batch: Pairs) -> Any:
            tally = super().step(batch)
            if tally:
                met.append((tally.pairs, len(batch)))
            return tally

    monkeypatch.setattr(jobs, "Trainer", Watched)
    anywhere, shuffled = sampling
    trained(
        new_job,
        epochs=1,
        random_negative_sampling_rate=anywhere,
        shuffled_negative_sampling_rate=shuffled,
    )
    assert met == [(pairs * 500, 500)] * 12


def test_made_up_addresses_are_drawn_anywhere_or_are_those_of_other_pairs() -> None:
    addresses = np.arange(1000, 1200)
    found = made_up(addresses, 2, 3, np.random.default_rng(0))
    assert found.shape == (5, 200)
    assert found[:2].min() < 2**28 and found[:2].max() > 15 * 2**28
    for row in found[2:]:
        assert sorted(row) == addresses.tolist()
        assert (row != addresses).all()
    assert (found[2] != found[3]).any()
    alone = made_up(addresses[:1], 1, 1, np.random.default_rng(0))
    assert alone.shape == (2, 1) and (alone != 1000).all()


def test_addresses_of_one_network_are_alike_also_those_never_seen(new_job: NewJob) -> None:
    random = np.random.default_rng(0)
    lines = [
        f"user_{user},{60 + user}.7.{first}.{last}"
        for user in range(20)
        for first, last in random.integers(200, size=(100, 2)).tolist()
    ]
    job = trained(new_job, "\n".join(lines).encode(), num_entity_vectors=500, epochs=8)
    own = "".join(f"user_{user},{60 + user}.7.250.250\n" for user in range(20))
    foreign = "".join(f"user_{user},{61 + user}.7.250.250\n" for user in range(20))
    near, far = (
        [one["dot_product"] for one in json.loads(answer)["predictions"]]
        for body in (own, foreign)
        for answer in [invoke(module.load(job.model), body.encode(), CSV, None, batch=False)[2]]
    )
    assert min(near) > max(far[:-1])


def test_the_learning_rate_sets_the_size_of_the_first_step() -> None:
    moved = []
    for rate in (0.001, 0.01):
        network, trainer = fresh(learning_rate=rate)
        before = network.entities.detach().clone()
        trainer.step(PAIRS)
        moved.append(float((network.entities.detach() - before).abs().max()))
    assert moved == [pytest.approx(0.001, rel=0.01), pytest.approx(0.01, rel=0.01)]


PAIRS = Pairs(np.array([1, 2, 2]), np.array([1 << 31, 7, 99]))


def fresh(**changes: float) -> tuple[Network, Trainer]:
    torch.manual_seed(0)
    network = Network(10, 4, 1)
    with torch.no_grad():
        network.prefixes.normal_()
    settings = {"learning_rate": 0.01, "weight_decay": 0.0, **changes}
    trainer = Trainer(
        network,
        **settings,
        anywhere=1,
        shuffled=1,
        random=np.random.default_rng(0),
        device=torch.device("cpu"),
    )
    return network, trainer


def test_weight_decay_is_added_to_the_gradient_of_what_a_batch_touches() -> None:
    gradients = []
    for decay in (0.0, 0.5):
        network, trainer = fresh(weight_decay=decay)
        before = network.entities.detach().clone()
        trainer.step(PAIRS)
        assert network.entities.grad is not None
        gradients.append(network.entities.grad.to_dense())
    difference = gradients[1] - gradients[0]
    touched = torch.zeros(10, 1)
    touched[[1, 2]] = 1
    torch.testing.assert_close(difference, 0.5 * before * touched)


def test_vectors_that_a_batch_does_not_need_stay_as_they_are() -> None:
    network, trainer = fresh(weight_decay=1.0)
    before = network.entities.detach().clone()
    trainer.step(PAIRS)
    changed = (network.entities.detach() != before).any(dim=1)
    assert changed.nonzero().flatten().tolist() == [1, 2]


def test_a_strong_decay_keeps_the_model_from_learning(new_job: NewJob) -> None:
    job = trained(new_job, weight_decay=10)
    assert logged(job.log, "train:binary_classification_cross_entropy:epoch")[-1] > 0.6


def test_the_same_job_twice_gives_the_same_model(new_job: NewJob) -> None:
    first, second = (
        module.load(trained(new_job, epochs=1).model).network.state() for _ in range(2)
    )
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])


HOST = """
import sys
from pathlib import Path
import numpy as np, torch
from algorithms.ipinsights import training
from algorithms.ipinsights.network import Network
from algorithms.ipinsights.pairs import Pairs
from algorithms.toolkit import deep
from algorithms.toolkit.job import Job
from algorithms.toolkit.peers import meet

host, base = sys.argv[1], Path(sys.argv[2])
hosts = ("algo-1",) if host == "alone" else ("algo-1", "algo-2")
training.made_up = lambda addresses, *_: (addresses + (1 << 20))[None]
torch.manual_seed(0)
network = Network(50, 4, 1)
trainer = training.Trainer(network, learning_rate=0.01, weight_decay=0.1, anywhere=1, shuffled=0,
                           random=None, device=torch.device("cpu"))
entities, addresses = np.arange(40) % 7, np.arange(40) << 12
# The second host has fewer pairs, and is through sooner.
parts = {"alone": [slice(0, 30), slice(30, 40)],
         "algo-1": [slice(0, 20), slice(30, 40)], "algo-2": [slice(20, 30)]}[host]
batches = [Pairs(entities[part], addresses[part]) for part in parts]
job = Job("ipinsights", {}, {}, {}, {}, hosts[0] if host == "alone" else host, hosts, base)
with meet(job) as peers, deep.together(job, peers):
    while trainer.step(batches.pop(0) if batches else Pairs(entities[:0], addresses[:0])):
        pass
torch.save(network.state(), base / f"{host}.pt")
"""


def test_hosts_make_the_steps_that_one_with_all_of_their_pairs_makes(tmp_path: Path) -> None:
    addresses = {"algo-1": "127.0.0.43", "algo-2": "127.0.0.44"}
    try:
        socket.create_server((addresses["algo-1"], 0)).close()
    except OSError:
        pytest.skip("this machine has one loopback address only")
    environment = {**os.environ, "SAGEMAKER_HOST_ADDRESSES": json.dumps(addresses)}
    hosts = [
        subprocess.Popen([sys.executable, "-c", HOST, host, str(tmp_path)], env=environment)
        for host in ("alone", *addresses)
    ]
    assert [host.wait(120) for host in hosts] == [0, 0, 0]
    alone, first, second = (
        torch.load(tmp_path / f"{host}.pt", weights_only=True) for host in ("alone", *addresses)
    )
    for name, tensor in alone.items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-6)
        assert torch.equal(first[name], second[name])


def test_all_pairs_come_once_in_every_epoch_in_another_order() -> None:
    pairs = Pairs(np.arange(10), np.arange(10, 20))
    random = np.random.default_rng(0)
    epochs = [[*batches(pairs, 4, random)] for _ in range(2)]
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [4, 4, 2]
        assert sorted(np.concatenate([batch.entities for batch in epoch])) == [*range(10)]
        for batch in epoch:
            np.testing.assert_array_equal(batch.addresses - batch.entities, 10)
    assert epochs[0][0].entities.tolist() != epochs[1][0].entities.tolist()


def test_entities_share_vectors_by_a_hash_that_stays_the_same() -> None:
    reader = Reader(1000)
    assert [reader.entity(name) for name in ("user_1", "user_2", "", "ü")] == [40, 968, 756, 525]
    assert reader.entity(" user_1 ") == 40
    assert len({Reader(7).entity(str(number)) for number in range(100)}) == 7


@pytest.mark.parametrize(
    "body",
    [
        b"user_1,1.2.3.4\nuser_2,255.0.0.1\n",
        b"user_1, 1.2.3.4 \r\nuser_2,\t255.0.0.1",
        b'\xef\xbb\xbf"user_1","1.2.3.4"\n\nuser_2,255.0.0.1\n',
    ],
)
def test_spaces_quotes_and_line_ends_do_not_matter(body: bytes) -> None:
    pairs = Reader(1000).csv(body, "x")
    assert pairs.entities.tolist() == [40, 968]
    assert pairs.addresses.tolist() == [0x01020304, 0xFF000001]


def test_an_entity_may_hold_commas_and_be_empty() -> None:
    pairs = Reader(1000).csv(b'"user_1, x",1.2.3.4\n,1.2.3.4\n', "x")
    assert pairs.entities.tolist() == [Reader(1000).entity("user_1, x"), 756]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"a,1.2.3", "train/a.csv, line 3001, column 2: '1.2.3' is not an IPv4 address; one such"),
        (b"a,256.1.1.1", "'256.1.1.1' is not an IPv4 address"),
        (b"a,01.1.1.1", "'01.1.1.1' is not an IPv4 address"),
        (b"a,", "line 3001, column 2: the IPv4 address is missing"),
        (b"a,2001:db8::1", "one such as 192.168.1.2 is needed, IPv6 is not supported"),
        (b"a,1.2.3.4,x", "train/a.csv, line 3001: 3 columns; two are needed"),
        (b"a", "train/a.csv, line 3001: 1 columns; two are needed"),
        (b"\xff,1.2.3.4", "train/a.csv, line 3001: not UTF-8"),
        (b'"a,1.2.3.4', "train/a.csv, line 3001: unexpected end of data"),
    ],
)
def test_a_corrupt_line_is_named_by_file_line_and_column(
    line: bytes, message: str, new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 10_000)
    job = new_job("ipinsights")
    job.channel("train", CSV, {"a.csv": b"user,1.2.3.4\n" * 3000 + line + b"\n"})
    assert job.train(**SMALL) == 1
    assert job.failure.startswith("ClientError: ")
    assert message in job.failure


def test_a_header_is_told_as_what_it_is() -> None:
    with pytest.raises(FormatError, match="seems to begin with a header"):
        Reader(10).csv(b"user,ip\na,1.2.3.4\n", "x")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_entity_vectors": 0}, "num_entity_vectors"),
        ({"vector_dim": 3}, "vector_dim"),
        ({"random_negative_sampling_rate": 0, "shuffled_negative_sampling_rate": 0}, "random_neg"),
        ({"random_negative_sampling_rate": 499, "shuffled_negative_sampling_rate": 2}, "shuffled"),
        ({"mini_batch_size": 500_001}, "mini_batch_size"),
        ({"num_ip_encoder_layers": 101}, "num_ip_encoder_layers"),
        ({"batch_metrics_publish_interval": 0}, "batch_metrics_publish_interval"),
        ({"weight_decay": 10.5}, "weight_decay"),
        ({"learning_rate": 11}, "learning_rate"),
        ({"hash_size": 1}, "hash_size"),
        ({"feature_dim": 3}, "feature_dim"),
        (
            {"num_entity_vectors": 250_000_000, "vector_dim": 128},
            "num_entity_vectors 250000000 with vector_dim 128 make a model of 119.7 GB; at most 8",
        ),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    settings: dict[str, Any], message: str, new_job: NewJob
) -> None:
    job = new_job("ipinsights")
    job.channel("train", CSV, {"a.csv": b"a,1.2.3.4\n"})
    assert job.train(**{**SMALL, **settings}) == 1
    assert job.failure.startswith("ClientError: ")
    assert message in job.failure


def test_a_training_that_diverges_says_what_to_lower(
    new_job: NewJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "_backward", lambda *_: Tally(float("nan"), 0, 1))
    job = new_job("ipinsights")
    job.channel("train", CSV, {"a.csv": b"a,1.2.3.4\nb,4.3.2.1\n"})
    assert job.train(**SMALL) == 1
    assert "the training diverged. Lower learning_rate" in job.failure
    assert not (job.model / module.MODEL_FILE).exists()


def test_other_content_types_and_modes_are_refused(new_job: NewJob) -> None:
    job = new_job("ipinsights")
    job.channel("train", "application/json", {"a.csv": b"{}"})
    assert job.train(**SMALL) == 1
    assert "'application/json' of channel 'train' is not supported; text/csv is" in job.failure
    job = new_job("ipinsights")
    job.pipe("train", CSV, b"a,1.2.3.4\n")
    assert job.train(**SMALL) == 1
    assert "Channel train: Pipe mode is not supported by this image; use File" in job.failure


REQUESTS = {
    "csv": (CSV, b"entity_id_1, 192.168.1.2\nentity_id_2, 10.10.1.2\n"),
    "json": (
        "application/json",
        b'{"instances":[{"data":{"features":{"values":["entity_id_1","192.168.1.2"]}}},'
        b'{"features":["entity_id_2","10.10.1.2"]}]}',
    ),
    "lines": (
        "application/jsonlines",
        b'{"data":{"features":{"values":["entity_id_1","192.168.1.2"]}}}\n'
        b'{"features":["entity_id_2","10.10.1.2"]}\n',
    ),
}


def direct(model: module.Model, entity: str, address: str) -> tuple[Any, Any]:
    """The vectors of one pair, worked out alone."""
    network = model.network
    number = sum(int(part) << 8 * (3 - at) for at, part in enumerate(address.split(".")))
    return (
        network.entities[Reader(100).entity(entity)],
        network.of_addresses(torch.tensor([number]))[0],
    )


@pytest.mark.parametrize("form", REQUESTS)
def test_every_form_of_request_and_answer_says_the_same(form: str, model: module.Model) -> None:
    kind, body = REQUESTS[form]
    pairs = [
        direct(model, "entity_id_1", "192.168.1.2"),
        direct(model, "entity_id_2", "10.10.1.2"),
    ]
    expected = [pytest.approx(float(entity @ address), rel=1e-5) for entity, address in pairs]
    for accept in ("application/json", None, "application/json;verbose=False", "*/*"):
        status, answered, answer = invoke(model, body, kind, accept, batch=False)
        assert (status, answered) == (200, "application/json")
        found = json.loads(answer)["predictions"]
        assert [one["dot_product"] for one in found] == expected
        assert found[0].keys() == {"dot_product"}
    lines = invoke(model, body, kind, "application/jsonlines", batch=True)[2]
    assert [json.loads(line)["dot_product"] for line in lines.splitlines()] == expected
    for accept in ("application/json;verbose=True", "application/jsonlines; verbose=True"):
        answer = invoke(model, body, kind, accept, batch=False)[2]
        found = (
            [json.loads(line) for line in answer.splitlines()]
            if "lines" in accept
            else json.loads(answer)["predictions"]
        )
        for one, (entity, address) in zip(found, pairs, strict=True):
            assert list(one) == ["dot_product", "entity_embedding", "ip_embedding"]
            np.testing.assert_allclose(one["entity_embedding"], entity, rtol=1e-5)
            np.testing.assert_allclose(one["ip_embedding"], address, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "body", "status", "message"),
    [
        (CSV, b"a,1.2.3\n", 400, "payload, line 1, column 2: '1.2.3' is not an IPv4 address"),
        (CSV, b"a,\n", 400, "payload, line 1, column 2: the IPv4 address is missing"),
        (CSV, b"\n", 400, "payload is empty"),
        ("application/json", b"[]", 400, 'must be {"instances": [...]}'),
        ("application/json", b'{"instances":[]}', 400, "payload holds no instance"),
        ("application/json", b'{"instances":[7]}', 400, "payload, instance 1: must be"),
        ("application/json", b"{", 400, "payload: not JSON"),
        (
            "application/json",
            b'{"instances":[{"features":["a"]}]}',
            400,
            "payload, instance 1: 1 values; two are needed",
        ),
        (
            "application/jsonlines",
            b'{"features":["a","1.2.3.4"]}\n{"features":["a",7]}',
            400,
            "payload, line 2, value 2: 7 is not text",
        ),
        (
            "application/jsonlines",
            b'{"features":["a","::1"]}',
            400,
            "payload, line 1, value 2: '::1' is not an IPv4 address; one such as 192.168.1.2 is "
            "needed, IPv6 is not supported",
        ),
        ("application/x-recordio-protobuf", b"x", 415, "is not supported; text/csv, application"),
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(
    kind: str, body: bytes, status: int, message: str, model: module.Model
) -> None:
    with pytest.raises(Refusal, match=re.escape(message)) as refused:
        invoke(model, body, kind, None, batch=False)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("accept", "status", "message"),
    [
        ("text/csv", 406, "Accept 'text/csv' is not supported"),
        ("application/json;verbose=2", 400, "verbose=2 is not known; True or False"),
    ],
)
def test_a_wrong_accept_is_refused(
    accept: str, status: int, message: str, model: module.Model
) -> None:
    with pytest.raises(Refusal, match=message) as refused:
        invoke(model, b"a,1.2.3.4", CSV, accept, batch=False)
    assert refused.value.status == status


def test_a_number_names_the_entity_that_its_digits_name(model: module.Model) -> None:
    answers = [
        invoke(model, body, kind, None, batch=False)[2]
        for kind, body in (
            (CSV, b"17,1.2.3.4"),
            ("application/json", b'{"instances":[{"features":[17,"1.2.3.4"]}]}'),
        )
    ]
    assert answers[0] == answers[1]


def test_prefixes_have_vectors_of_their_own_as_far_as_they_can(model: module.Model) -> None:
    assert [prefix_bits(vectors) for vectors in (1, 20_000, 100_000, 10**8)] == [14, 15, 17, 18]
    assert parameters(100, 4) == 4 * (100 + len(model.network.prefixes))
    assert len(model.network.prefixes) == 2**8 + 2**12 + 5 * 2**14
    vectors = model.network.of_addresses(
        torch.tensor(
            [int("".join(f"{part:08b}" for part in (9, 9, 9, last)), 2) for last in (1, 2)]
        )
    )
    assert not torch.equal(vectors[0], vectors[1])
    assert PREFIXES[-1] == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entities": None}, "holds no network"),
        ({"encoder.offset": torch.zeros(9)}, "holds no network"),
        ({"prefixes": torch.zeros(5, 4)}, "holds no network"),
        ({"more": torch.zeros(1)}, "holds no network"),
        ({"encoder.offset": torch.full((4,), torch.nan)}, "encoder.offset is not all finite"),
        ({"encoder.offset": torch.zeros(4, dtype=torch.float64)}, "encoder.offset is not all"),
    ],
)
def test_an_artifact_that_does_not_fit_together_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tensors = {**Network(10, 4, 2).state(), **change}
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    path = tmp_path / module.MODEL_FILE
    deep.save(path, module.FORMAT, module.FORMAT_VERSION, kept, {})
    with pytest.raises(CustomerError, match=message):
        module.load(tmp_path)


def test_a_foreign_and_a_newer_artifact_are_refused(tmp_path: Path) -> None:
    path = tmp_path / module.MODEL_FILE
    deep.save(path, "other", 1, {}, {})
    with pytest.raises(CustomerError, match="holds other"):
        module.load(tmp_path)
    deep.save(path, module.FORMAT, 2, {}, {})
    with pytest.raises(CustomerError, match="format version 2; this image reads up to 1"):
        module.load(tmp_path)


def test_simulated_users_come_from_few_places_and_intruders_from_anywhere() -> None:
    known, later, intruders = logins()
    blocks = {(user, address >> 8) for user, address in zip(*_columns(known), strict=True)}

    def at_home(found: Logins) -> float:
        pairs = zip(*_columns(found), strict=True)
        return float(np.mean([(user, address >> 8) in blocks for user, address in pairs]))

    assert at_home(later) > 0.8 > 0.1 > at_home(intruders)
    assert not {*zip(*_columns(later), strict=True)} & {*zip(*_columns(known), strict=True)}
    assert dotted(0x01020304) == "1.2.3.4"
    again = World(users=200, networks=60).logins(6000)
    np.testing.assert_array_equal(again.addresses, known.addresses)


def _columns(found: Logins) -> tuple[list[int], list[int]]:
    return found.users.tolist(), found.addresses.tolist()
