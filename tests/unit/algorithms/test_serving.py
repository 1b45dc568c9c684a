"""The HTTP layer of model servers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import xgboost
from scipy.sparse import csr_matrix

from algorithms import kmeans
from algorithms.toolkit import available
from algorithms.toolkit import serving as serving_module
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.record import record_class
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.serving import payload_limit
from tests.unit.algorithms.conftest import digits

CENTERS = np.array([[0, 0, 0], [3, 4, 0]], dtype=np.float32)
ROW = np.array([[3, 4, 2]], dtype=np.float32)
MEGABYTE = 1024 * 1024
Body = bytes | str | Iterator[bytes]


class Server:
    """A server process, as the platform runs it."""

    def __init__(self, algorithm: str, base: Path, environment: Mapping[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(environment.get("SAGEMAKER_BIND_TO_PORT", free.getsockname()[1]))
        self.log_path = base / "log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "algorithms", "serve"],
                env={
                    **os.environ,
                    "ALGORITHM_NAME": algorithm,
                    "SAGEMAKER_BASE_DIR": str(base),
                    "SAGEMAKER_BIND_ADDRESS": "127.0.0.1",
                    "SAGEMAKER_BIND_TO_PORT": str(self.port),
                    "MODEL_SERVER_WORKERS": "2",
                    **environment,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def wait(self) -> None:
        """Until the first ping is answered, which must be with success."""
        until(lambda: self.process.poll() is not None or self.listens(), "a listening server")
        status, _, body = self.ask("GET", "/ping")
        assert (status, body) == (200, b""), self.log

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(
        self, method: str, path: str, body: Body | None = None, **headers: str
    ) -> tuple[int, str | None, bytes]:
        connection = self.connect()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        answer = connection.getresponse()
        found = answer.status, answer.headers.get("content-type"), answer.read()
        connection.close()
        return found

    def invoke(self, body: Body, kind: str, accept: str = "*/*") -> tuple[int, str | None, bytes]:
        return self.ask("POST", "/invocations", body, Content_Type=kind, Accept=accept)

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.01)


@contextmanager
def serving(algorithm: str, base: Path, **environment: str) -> Iterator[Server]:
    server = Server(algorithm, base, environment)
    try:
        yield server
    finally:
        with suppress(psutil.NoSuchProcess):
            for process in [*server.workers(), psutil.Process(server.process.pid)]:
                process.kill()
        server.process.wait()


def kmeans_model(base: Path) -> Path:
    (base / "model").mkdir(parents=True)
    kmeans.save(base / "model", CENTERS)
    return base


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("kmeans", kmeans_model(tmp_path_factory.mktemp("kmeans"))) as server:
        server.wait()
        yield server


@pytest.fixture(scope="module")
def booster_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    features, labels = digits()
    booster = xgboost.train({}, xgboost.DMatrix(features, labels), num_boost_round=5)
    base = tmp_path_factory.mktemp("xgboost")
    (base / "model").mkdir()
    (base / "model" / "xgboost-model").write_bytes(booster.save_raw("ubj"))
    return base


def test_the_algorithms_that_have_a_module_are_found() -> None:
    assert {"kmeans", "linear-learner", "xgboost"} <= set(available())


ANSWER = {"closest_cluster": 1.0, "distance_to_cluster": 2.0}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/csv", b"3,4,2\n"),
        ("text/csv; label_size=0; charset=utf-8", b"3,4,2"),
        ("application/json", b'{"instances":[{"features":[3,4,2]}]}'),
        ("application/json", b'{"instances":[{"data":{"features":{"values":[3,4,2]}}}]}'),
        (
            "application/json",
            b'{"instances":[{"data":{"features":{"keys":[0,1,2],"shape":[3],"values":[3,4,2]}}}]}',
        ),
        ("application/jsonlines", b'{"features":[3,4,2]}\n'),
        ("application/x-recordio-protobuf", recordio.write(Table(ROW))),
        (
            "application/x-recordio-protobuf",
            recordio.write(Table(csr_matrix(ROW))),
        ),
    ],
)
def test_takes_every_form_of_a_request(kind: str, body: bytes, server: Server) -> None:
    status, content_type, answer = server.invoke(body, kind)
    assert (status, content_type) == (200, "application/json")
    assert json.loads(answer) == {"predictions": [ANSWER]}


def test_gives_every_form_of_an_answer(server: Server) -> None:
    body = b"3,4,2\n0,0,1\n"
    second = {"closest_cluster": 0.0, "distance_to_cluster": 1.0}
    forms = {}
    for accept in ("application/json", "application/jsonlines", "text/csv"):
        status, kind, forms[accept] = server.invoke(body, "text/csv", accept)
        assert (status, kind) == (200, accept)
    assert json.loads(forms["application/json"]) == {"predictions": [ANSWER, second]}
    lines = forms["application/jsonlines"].splitlines()
    assert [json.loads(line) for line in lines] == [ANSWER, second]
    assert forms["text/csv"] == b"1.0,2.0\n0.0,1.0"
    _, _, framed = server.invoke(body, "text/csv", "application/x-recordio-protobuf")
    records = [record_class().FromString(bytes(m)) for m in recordio.frames(framed, "x")]
    assert [r.label["distance_to_cluster"].float32_tensor.values[0] for r in records] == [2, 1]


@pytest.mark.parametrize(
    ("body", "kind", "accept", "status", "sentence"),
    [
        (b"", "text/csv", "*/*", 204, ""),
        (
            b"1,2\n",
            "text/csv",
            "*/*",
            400,
            "Unable to evaluate payload provided: wrong width: 2 values, the model takes 3",
        ),
        (b"1,x,3\n", "text/csv", "*/*", 400, "payload, line 1, column 2: 'x' is not a number"),
        (b"1,nan,3\n", "text/csv", "*/*", 400, "NaN; missing values are not allowed"),
        (b"1,2,3", "text/csv;label_size=1", "*/*", 400, "a request has no labels"),
        (b"{", "application/json", "*/*", 400, "not JSON"),
        (b"\x00" * 8, "application/x-recordio-protobuf", "*/*", 400, "not RecordIO"),
        (b"1,2,3", "image/png", "*/*", 415, "Content type 'image/png' is not supported; text/csv"),
        (b"1,2,3", "text/csv", "image/png", 406, "Accept 'image/png' is not supported"),
    ],
)
def test_refuses_in_one_plain_sentence(
    body: bytes, kind: str, accept: str, status: int, sentence: str, server: Server
) -> None:
    found, _, answer = server.invoke(body, kind, accept)
    assert found == status
    assert sentence in answer.decode()
    assert b"Traceback" not in answer
    assert "Traceback" not in server.log


def test_a_body_over_six_megabytes_is_refused_and_one_of_six_is_read(server: Server) -> None:
    status, _, answer = server.invoke(b"1" * (6 * MEGABYTE + 1), "text/csv")
    assert status == 413
    assert answer.decode() == "The body has 6,291,457 bytes; at most 6,291,456 bytes are allowed"
    assert server.invoke(b"1" * (6 * MEGABYTE), "text/csv")[0] == 400


def test_a_body_of_unknown_length_has_the_same_limit(server: Server) -> None:
    chunks = iter([b"1" * MEGABYTE] * 7)
    assert server.invoke(chunks, "text/csv")[0] == 413
    assert server.invoke(iter([b"3,4", b",2"]), "text/csv")[0] == 200


def test_other_paths_and_methods_are_refused(server: Server) -> None:
    assert server.ask("GET", "/models")[0] == 404
    assert server.ask("GET", "/invocations")[0] == 405


def test_tells_a_transform_job_how_to_send(server: Server) -> None:
    assert json.loads(server.ask("GET", "/execution-parameters")[2]) == {
        "MaxConcurrentTransforms": os.cpu_count(),
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }


def asked(server: serving_module.Server, accept: str | None) -> str:
    """What a request with this Accept header asks the model for."""
    return server._accepted(accept) or ""


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (None, "text/csv; x=1"),
        ("", "text/csv; x=1"),
        ("*/*", "text/csv; x=1"),
        ("*/*;q=0.8", "text/csv; x=1"),
        ("application/json", "application/json"),
    ],
)
def test_the_owner_of_a_model_says_what_a_request_gets_that_leaves_it_open(
    accept: str | None, answered: str
) -> None:
    environment = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv; x=1"}
    model = kmeans.Model(CENTERS)
    assert asked(serving_module.Server(model, environment), accept) == answered
    assert asked(serving_module.Server(model, {}), accept) == (accept or "")


def test_a_default_answer_that_a_model_does_not_give_ends_the_server(tmp_path: Path) -> None:
    base = kmeans_model(tmp_path)
    with serving("kmeans", base, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="application/xml") as server:
        assert server.process.wait(60) == 1
    assert "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is 'application/xml', which" in server.log


def test_a_transform_job_may_set_its_own_limit() -> None:
    assert payload_limit({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "20"}) == 20 * MEGABYTE
    assert payload_limit({}) == 6 * MEGABYTE


def test_answers_a_hundred_clients_at_once(server: Server) -> None:
    statuses: list[int] = []

    def client() -> None:
        statuses.append(server.invoke(b"1,2,3\n" * 1000, "text/csv")[0])

    threads = [threading.Thread(target=client) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 100


def test_xgboost_answers_as_the_library(
    booster_folder: Path,
) -> None:
    with serving("xgboost", booster_folder) as server:
        server.wait()
        features, _ = digits()
        rows = features[:20]
        body = "\n".join(",".join(f"{x:g}" for x in row) for row in rows)
        status, kind, answer = server.ask("POST", "/invocations", body)
        assert (status, kind) == (200, "text/csv")
        booster = xgboost.Booster(model_file=str(booster_folder / "model" / "xgboost-model"))
        expected = booster.predict(xgboost.DMatrix(rows))
        np.testing.assert_array_equal(
            np.array(answer.decode().split(","), dtype=np.float32), expected
        )
        libsvm = "\n".join(" ".join(f"{i}:{x:g}" for i, x in enumerate(row)) for row in rows)
        _, _, scores = server.invoke(libsvm, "text/libsvm", "application/json")
        found = [answer["score"] for answer in json.loads(scores)["predictions"]]
        np.testing.assert_array_equal(np.array(found, dtype=np.float32), expected)


def test_stops_by_sigterm_after_the_answer_under_way(tmp_path: Path) -> None:
    with serving("kmeans", kmeans_model(tmp_path)) as server:
        server.wait()
        until(lambda: len(server.workers()) == 2, "two workers")
        workers = server.workers()
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(
                b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
                b"Content-Length: 6\r\nExpect: 100-continue\r\n\r\n"
            )
            # The server says so when it begins to read the body: the request is under way.
            assert connection.recv(100).startswith(b"HTTP/1.1 100")
            connection.sendall(b"3,4")
            server.process.send_signal(signal.SIGTERM)
            until(lambda: "Stopping worker-1" in server.log, "the stop")
            connection.sendall(b",2\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert json.loads(answer.read()) == {"predictions": [ANSWER]}
        assert server.process.wait(timeout=60) == 0
        assert not [worker for worker in workers if worker.is_running()]


@pytest.mark.parametrize("attempt", range(5))
def test_stops_at_once_while_workers_still_start(attempt: int, tmp_path: Path) -> None:
    with serving("kmeans", kmeans_model(tmp_path)) as server:
        until(lambda: "Spawning worker-1" in server.log, "the first worker")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with serving("kmeans", kmeans_model(tmp_path)) as server:
        server.wait()
        until(lambda: len(server.workers()) == 2, "two workers")
        before = {worker.pid for worker in server.workers()}
        server.workers()[0].kill()
        until(lambda: len({w.pid for w in server.workers()} - before) == 1, "a new worker")
        until(lambda: server.ask("GET", "/ping")[0] == 200, "an answer")


def test_no_worker_outlives_a_killed_server(tmp_path: Path) -> None:
    with serving("kmeans", kmeans_model(tmp_path)) as server:
        server.wait()
        until(lambda: len(server.workers()) == 2, "two workers")
        workers = server.workers()
        server.process.kill()
        until(lambda: not any(w.is_running() for w in workers), "the end of the workers")


def test_a_model_that_cannot_be_loaded_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with serving("kmeans", tmp_path) as server:
        assert server.process.wait(timeout=60) == 1
        assert "Unable to start the model server: the model has no file" in server.log
        assert "Traceback" not in server.log


def test_a_taken_port_ends_the_server_with_the_reason(server: Server, tmp_path: Path) -> None:
    port = str(server.port)
    with serving("kmeans", kmeans_model(tmp_path), SAGEMAKER_BIND_TO_PORT=port) as second:
        assert second.process.wait(timeout=60) == 1
        assert f"port {port} of 127.0.0.1 is not free" in second.log


@pytest.mark.holds("A model server that was given a key refuses requests without it.")
def test_a_server_with_a_key_answers_only_who_shows_it(tmp_path: Path) -> None:
    with serving("kmeans", kmeans_model(tmp_path), SAGEMAKER_CALLER_KEY="k") as server:
        until(lambda: server.listens() or server.process.poll() is not None, "the server")
        for key, expected in (("", 403), ("K", 403), ("kk", 403), ("k", 200)):
            given = {"X_SageMaker_Caller_Key": key} if key else {}
            assert server.ask("GET", "/ping", **given)[0] == expected
            status = server.ask("POST", "/invocations", b"3,4,2", Content_Type="text/csv", **given)
            assert status[0] == expected
        # A page of another site can send neither, whatever it calls the host.
        page = {"Origin": "https://evil.example", "Host": "evil.example"}
        assert server.ask("POST", "/invocations", b"3,4,2", **page)[0] == 403


@pytest.mark.holds("A body that is announced as far too large is refused before it is read.")
def test_a_body_far_over_the_limit_is_refused_by_its_announcement(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n"
            b"Content-Length: 9999999999\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
