"""Requests a second of the model server, against a bare server of the same kind.

    python benchmarks/serving.py

Both run with two workers on the cores that the clients use too, and are measured in five turns,
one after the other. Printed: medians of requests a second, p50 and p99, time to the first ping, and
the memory of all processes of a server (PSS).
"""

import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import xgboost

from algorithms import kmeans

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
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(algorithm: str, base: Path) -> tuple[subprocess.Popen[bytes], int, float]:
    """A server, its port and the seconds until it answered."""
    port = free_port()
    command = [sys.executable, "-m", "algorithms", "serve"]
    if algorithm == "bare":
        command = [sys.executable, "-c", BARE, str(port)]
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        env={
            **os.environ,
            "ALGORITHM_NAME": algorithm,
            "SAGEMAKER_BASE_DIR": str(base),
            "SAGEMAKER_BIND_ADDRESS": "127.0.0.1",
            "SAGEMAKER_BIND_TO_PORT": str(port),
            "MODEL_SERVER_WORKERS": "2",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.005)
        else:
            return process, port, time.perf_counter() - started


def client(port: int, body: bytes, seconds: float) -> list[float]:
    """The latencies of one client that asks again as soon as it is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    latencies = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        connection.request("POST", "/invocations", body, {"Content-Type": "text/csv"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
        latencies.append(time.perf_counter() - started)
    return latencies


def measure(port: int, body: bytes, clients: int) -> tuple[float, float, float]:
    """Requests a second, p50 and p99 in milliseconds."""
    with multiprocessing.Pool(clients) as pool:
        found = pool.starmap(client, [(port, body, SECONDS)] * clients)
    latencies = np.concatenate([np.array(part) for part in found])
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    return len(latencies) / SECONDS, float(p50), float(p99)


def models(folder: Path) -> None:
    """The models of the published comparison: 100 trees on 30 columns, 10 centres of 784."""
    random = np.random.default_rng(0)
    features = random.random((2000, 30), dtype=np.float32)
    booster = xgboost.train(
        {"max_depth": 6}, xgboost.DMatrix(features, features.sum(axis=1)), num_boost_round=100
    )
    for name in ("xgboost", "kmeans", "bare"):
        (folder / name / "model").mkdir(parents=True)
    (folder / "xgboost/model/xgboost-model").write_bytes(booster.save_raw("ubj"))
    kmeans.save(folder / "kmeans/model", random.random((10, 784), dtype=np.float32))


def main() -> None:
    """Print one JSON line a server, body and number of clients."""
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        models(Path(folder))
        servers = {name: start(name, Path(folder) / name) for name in ("xgboost", "kmeans", "bare")}
        try:
            for name, columns in (("xgboost", 30), ("kmeans", 784)):
                for rows in (1, 100):
                    numbers = random.random((rows, columns), dtype=np.float32).tolist()
                    body = "\n".join(",".join(map(repr, row)) for row in numbers).encode()
                    for clients in (1, 8, 32):
                        turns: dict[str, list[tuple[float, float, float]]] = {name: [], "bare": []}
                        for _ in range(TURNS):
                            for which, found in turns.items():
                                found.append(measure(servers[which][1], body, clients))
                        for which, found in turns.items():
                            rate, p50, p99 = map(statistics.median, zip(*found, strict=True))
                            line = {
                                "server": which,
                                "body": f"{rows} x {columns}",
                                "clients": clients,
                                "requests_per_second": round(rate),
                                "p50_ms": round(p50, 2),
                                "p99_ms": round(p99, 2),
                            }
                            print(json.dumps(line), flush=True)
            for name, (process, _, seconds) in servers.items():
                tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
                pss = sum(part.memory_full_info().pss for part in tree) / 1e6
                print(
                    json.dumps({"server": name, "ready_s": round(seconds, 2), "pss_mb": round(pss)})
                )
        finally:
            for process, _, _ in servers.values():
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
