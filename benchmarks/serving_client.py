"""One client of the serving benchmark; it imports nothing that starts threads."""

import http.client
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """What a client sends, over and over."""

    path: str
    content_type: str
    body: bytes


def client(port: int, asked: Question, seconds: float) -> list[float]:
    """The latencies of one client that asks again as soon as it is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    latencies = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        connection.request("POST", asked.path, asked.body, {"Content-Type": asked.content_type})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
        latencies.append(time.perf_counter() - started)
    return latencies
