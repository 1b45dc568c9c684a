"""Requests a second of the model server, beside those of others and a bare server of its kind.

    python -m benchmarks.serving [MODEL ...]

The others are BentoML, MLServer and, where there is java, multi-model-server as sagemaker-inference
sets it up in AWS's own containers. The models are xgboost and kmeans; and image-classification, if
it is named: it takes `make deep`, and torch for the peers as well. All run with two workers on the
cores that the clients use too, and are measured in five turns, one after the other. Printed:
medians of requests a second, p50 and p99, time until a server answers, and the memory of
all its processes (PSS). The peers get an environment of their own, by `serving_peers/uv.lock`.
"""

import base64
import contextlib
import http.client
import io
import json
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import xgboost

from algorithms import kmeans
from benchmarks.measuring import end_by_signals
from benchmarks.serving_client import Question, client
from benchmarks.supervising import supervised

CHECKOUT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "serving_peers"
AWS = "sagemaker-inference"
PEER_SERVERS = ("BentoML", "MLServer", AWS)
TEXT, IMAGE = "text/csv", "image/jpeg"
LIGHT, DEEP = ("xgboost", "kmeans"), "image-classification"
# Of the images, which are asked about one at a time.
SIDE = 64
SECONDS = 1.5
TURNS = 5
BARE = """
import sys
from granian.constants import Interfaces
from granian.server import Server
async def app(scope, protocol):
    await protocol()
    protocol.response_bytes(200, [("content-type", "text/csv")], b"0.5")
def load():
    return app
Server("bare", port=int(sys.argv[1]), interface=Interfaces.RSGI, workers=2, websockets=False).serve(
    target_loader=load, wrap_loader=False)
"""


def free_port() -> int:
    """A port that nobody listens on, below 32,767: multi-model-server takes no other."""
    for port in range(20_000, 32_767):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise RuntimeError("no port from 20,000 to 32,766 is free")


# A server takes its port some time after it was told of it.
_given: set[int] = set()


@dataclass
class Server:
    """A running server: its supervisor, its port, and the seconds until it was ready."""

    process: subprocess.Popen[bytes]
    port: int
    seconds: float


def peers(*, deep: bool) -> Path:
    """The programs of the peers' environment, made at the first call.

    Args:
        deep: whether torch is to be there, too.
    """
    environment = CHECKOUT / "build" / "serving-peers"
    uv = shutil.which("uv") or str(CHECKOUT / ".uv" / "bin" / "uv")
    subprocess.run(
        [
            *(uv, "sync", "--locked", "--quiet", "--inexact", "--python", sys.executable),
            *(("--group", "deep") if deep else ()),
        ],
        cwd=PEERS,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment)},
        check=True,
    )
    return environment / "bin"


def command(kind: str, port: int, base: Path, programs: Path) -> tuple[list[str], dict[str, str]]:
    """How a server is started, and with what environment."""
    if kind == AWS:
        return _multi_model_server(port, base, programs)
    if kind == "bare":
        return [sys.executable, "-c", BARE, str(port)], {}
    if kind == "BentoML":
        arguments = ["serve", "bento_service:Predictions", "--host", "127.0.0.1"]
        return [str(programs / "bentoml"), *arguments, "--port", str(port)], {}
    if kind == "MLServer":
        ports = {"HTTP": port, "GRPC": free_port(), "METRICS": free_port()}
        named = {f"MLSERVER_{name}_PORT": str(each) for name, each in ports.items()}
        return [str(programs / "mlserver"), "start", "mlserver_model"], named
    return [sys.executable, "-m", "algorithms", "serve"], {}


def _multi_model_server(port: int, base: Path, programs: Path) -> tuple[list[str], dict[str, str]]:
    """The command that sagemaker-inference gives, with a configuration of our own place and ports.

    Its own writes into /etc and serves what lies in /opt/ml.
    """
    configuration = base / "mms.properties"
    configuration.write_text(
        f"inference_address=http://127.0.0.1:{port}\n"
        f"management_address=http://127.0.0.1:{free_port()}\n"
        "default_workers_per_model=2\n"
        "default_service_handler=sagemaker_inference.default_handler_service\n"
        "decode_input_request=false\n"
        "enable_envvars_config=true\n"
    )
    (toolkit,) = programs.parent.glob("lib/python*/site-packages/sagemaker_inference")
    arguments = [
        *("--start", "--foreground", "--mms-config", str(configuration)),
        *("--log-config", str(toolkit / "etc" / "log4j2.xml")),
        *("--model-store", "/", "--models", f"model={base / 'model'}"),
    ]
    variables = {
        "TMPDIR": str(base),
        "LOG_LOCATION": str(base / "logs"),
        "METRICS_LOCATION": str(base / "logs"),
    }
    return [str(programs / "multi-model-server"), *arguments], variables


@contextlib.contextmanager
def started(
    kind: str, algorithm: str, base: Path, programs: Path, asked: Question
) -> Iterator[Server]:
    """A server of the model below a folder, once it answers; it ends with the context."""
    port = free_port()
    arguments, variables = command(kind, port, base, programs)
    folder = PEERS if kind in PEER_SERVERS else CHECKOUT
    environment = {
        **os.environ,
        "ALGORITHM_NAME": algorithm,
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_ADDRESS": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "MODEL_SERVER_WORKERS": "2",
        "PYTHONPATH": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(base / "bentoml"),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    with supervised(arguments, folder, environment) as process:
        begun = time.perf_counter()
        while not _answers(port, asked):
            if process.poll() is not None:
                raise RuntimeError(f"{kind} ended with {process.returncode} before it was ready")
            time.sleep(0.005)
        yield Server(process, port, time.perf_counter() - begun)


def _answers(port: int, asked: Question) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", asked.path, asked.body, {"Content-Type": asked.content_type})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def question(kind: str, body: bytes, content_type: str) -> Question:
    """The same rows of text or the same image, in the protocol of each server."""
    if kind != "MLServer":
        image = kind == "BentoML" and content_type == IMAGE
        return Question("/image" if image else "/invocations", content_type, body)
    encoding, text = (
        ("base64", base64.b64encode(body).decode())
        if content_type == IMAGE
        else ("str", body.decode())
    )
    tensor = {
        "name": "body",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"content_type": encoding},
        "data": [text],
    }
    asked = json.dumps({"inputs": [tensor]}).encode()
    return Question("/v2/models/predictions/infer", "application/json", asked)


def bodies(name: str) -> Mapping[str, tuple[bytes, str]]:
    """What a model is asked: bodies by their titles, each with its content type."""
    random = np.random.default_rng(1)
    if name == DEEP:
        from PIL import Image

        noise = random.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).resize((SIDE, SIDE)).save(file, "JPEG")
        return {f"JPEG of {SIDE} x {SIDE}": (file.getvalue(), IMAGE)}
    columns = {"xgboost": 30, "kmeans": 784}[name]
    found = {}
    for rows in (1, 100):
        numbers = random.random((rows, columns), dtype=np.float32).tolist()
        text = "\n".join(",".join(map(repr, row)) for row in numbers)
        found[f"{rows} x {columns}"] = (text.encode(), TEXT)
    return found


def measure(port: int, asked: Question, clients: int) -> tuple[float, float, float]:
    """Requests a second, p50 and p99 in milliseconds."""
    reset = (signal.SIGTERM, signal.SIG_DFL)
    with multiprocessing.get_context("fork").Pool(clients, signal.signal, reset) as pool:
        pool.map(abs, range(clients))
        found = pool.starmap(client, [(port, asked, SECONDS)] * clients)
    latencies = np.concatenate([np.array(part) for part in found])
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    return len(latencies) / SECONDS, float(p50), float(p99)


def model(name: str, folder: Path) -> None:
    """Make a model of the comparison: 100 trees on 30 columns, 10 centres of 784, a ResNet-18."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    if name == DEEP:
        import torch

        from algorithms.image_classification import model as images

        torch.manual_seed(0)
        settings = {"num_layers": 18, "image_shape": [3, SIDE, SIDE], "num_classes": 10}
        settings["multi_label"] = 0
        images.write(folder / images.MODEL_FILE, images.network(settings), settings)
        return
    if name == "kmeans":
        kmeans.save(folder, random.random((10, 784), dtype=np.float32))
        return
    features = random.random((2000, 30), dtype=np.float32)
    booster = xgboost.train(
        {"max_depth": 6}, xgboost.DMatrix(features, features.sum(axis=1)), num_boost_round=100
    )
    (folder / "xgboost-model").write_bytes(booster.save_raw("ubj"))


def main() -> None:
    """Print one JSON line a server, body and number of clients."""
    wanted = sys.argv[1:] or LIGHT
    if set(wanted) - {*LIGHT, DEEP}:
        sys.exit(f"usage: python -m benchmarks.serving [{'|'.join((*LIGHT, DEEP))} ...]")
    end_by_signals()
    programs = peers(deep=DEEP in wanted)
    others = [kind for kind in PEER_SERVERS if kind != AWS or shutil.which("java")]
    if AWS not in others:
        print(f"{AWS} is left out: there is no java", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            asked = bodies(name)
            model(name, Path(folder) / name / "model")
            with contextlib.ExitStack() as ended:
                first = next(iter(asked.values()))
                servers = {
                    kind: ended.enter_context(
                        started(kind, name, Path(folder) / name, programs, question(kind, *first))
                    )
                    for kind in ("ours", *others, "bare")
                }
                compare(name, servers, asked)


def compare(
    name: str, servers: Mapping[str, Server], asked: Mapping[str, tuple[bytes, str]]
) -> None:
    """Measure the servers of one model in turns."""
    for title, (body, content_type) in asked.items():
        for clients in (1, 8, 32):
            turns: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in servers}
            for _ in range(TURNS):
                for kind, found in turns.items():
                    found.append(
                        measure(servers[kind].port, question(kind, body, content_type), clients)
                    )
            for kind, found in turns.items():
                rate, p50, p99 = map(statistics.median, zip(*found, strict=True))
                line = {
                    "model": name,
                    "server": kind,
                    "body": title,
                    "clients": clients,
                    "requests_per_second": round(rate),
                    "p50_ms": round(p50, 2),
                    "p99_ms": round(p99, 2),
                }
                print(json.dumps(line), flush=True)
    for kind, server in servers.items():
        parts = psutil.Process(server.process.pid).children(recursive=True)
        pss = sum(part.memory_full_info().pss for part in parts)
        line = {"model": name, "server": kind, "ready_s": round(server.seconds, 2)}
        print(json.dumps({**line, "pss_mb": round(pss / 1e6)}), flush=True)


if __name__ == "__main__":
    main()
