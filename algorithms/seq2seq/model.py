"""The artifact of Sequence-to-Sequence, and the sentences that it answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import torch

from algorithms.seq2seq import pairs
from algorithms.seq2seq.network import SHAPE, Network
from algorithms.seq2seq.pairs import Pairs, Side
from algorithms.seq2seq.search import Found, search
from algorithms.seq2seq.vocabulary import SOURCE_FILE, TARGET_FILE, Vocabulary
from algorithms.toolkit import content, deep
from algorithms.toolkit.content import ContentType, negotiate
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.formats.text import json_lines, json_of

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Request

MODEL_FILE = "seq2seq-model.safetensors"
FORMAT = "sagemaker-platform/seq2seq"
FORMAT_VERSION = 1
_SLACK = 1.2
# So many sentences are written at a time.
_ROWS = 64
_FORMS = {
    "instance": '{"data": "words ..."}, or '
    '{"data": "words ...", "configuration": {"attention_matrix": "true"}}',
    "line": '{"source": "words ..."}',
}


@dataclass(frozen=True)
class Lengths:
    """How long a written sentence may be, by the length of its source."""

    seen: Sequence[int]
    """The longest target of training whose source had so many words (from 1 on) or less."""

    most: int

    @classmethod
    def of(cls, learnt: Pairs, most: int) -> Lengths:
        """Of pairs that were learnt from."""
        longest = np.zeros(learnt.source.lengths.max(), dtype=np.int64)
        np.maximum.at(longest, learnt.source.lengths - 1, learnt.target.lengths)
        return cls(np.maximum.accumulate(longest).tolist(), most)

    def longest(self, source: int) -> int:
        """How many words may be written, with the sign of the end: a fifth more than was seen."""
        known = min(source, len(self.seen))
        # Sources longer than all of training are answered in proportion.
        words = math.ceil(_SLACK * max(self.seen[known - 1], 1) * source / known)
        return min(self.most, words) + 1


def save(
    folder: Path,
    network: Network,
    settings: Mapping[str, Any],
    lengths: Lengths,
    vocabularies: tuple[Vocabulary, Vocabulary],
) -> None:
    """Write a network, what it was built from, and the two vocabularies."""
    told = {
        "shape": {name: settings[name] for name in SHAPE},
        "beam_size": settings["beam_size"],
        "lengths": asdict(lengths),
    }
    deep.save(folder / MODEL_FILE, FORMAT, FORMAT_VERSION, network.state_dict(), told)
    for vocabulary, name in zip(vocabularies, (SOURCE_FILE, TARGET_FILE), strict=True):
        vocabulary.write(folder / name)


@dataclass(frozen=True)
class _Sentence:
    """What one record of a request asks for."""

    words: Sequence[int]
    matrix: bool = False
    """Whether the shares of attention are to be told."""


class Model:
    """A trained network, which writes sentences anew."""

    accepts: tuple[str, ...] = (content.JSON, content.RECORDIO, content.JSON_LINES)
    answers: tuple[str, ...] = (content.JSON, content.RECORDIO, content.JSON_LINES)
    slow = True

    def __init__(
        self,
        network: Network,
        beam: int,
        lengths: Lengths,
        cut: int,
        vocabularies: tuple[Vocabulary, Vocabulary],
    ) -> None:
        self._device = deep.device()
        self._network = network.to(self._device).eval().requires_grad_(requires_grad=False)
        self._beam = beam
        self._lengths = lengths
        self._cut = cut
        self._source, self._target = vocabularies

    def answer_type(self, kind: ContentType, accept: str | None) -> ContentType | None:
        """Whoever names no form of answer gets that of the request."""
        first = (kind.name, *(each for each in self.answers if each != kind.name))
        return negotiate(accept, first)

    def respond(self, request: Request) -> bytes:
        """The sentence for each record, and where it is asked for the matrix of attention."""
        asked = self._read(request)
        found = self.write([each.words for each in asked])
        if request.accept.name == content.RECORDIO:
            if any(each.matrix for each in asked):
                raise FormatError(
                    "attention_matrix is answered as application/json or application/jsonlines, "
                    "and not as application/x-recordio-protobuf"
                )
            return pairs.write([{pairs.TARGET: each.words} for each in found])
        answers = []
        for each, wish in zip(found, asked, strict=True):
            answer: dict[str, Any] = {"target": self._target.text(each.words)}
            if wish.matrix:
                answer["matrix"] = each.attention.tolist()
            answers.append(answer)
        if request.accept.name == content.JSON_LINES:
            return b"\n".join(map(orjson.dumps, answers)) + b"\n"
        return orjson.dumps({"predictions": answers})

    def write(self, sentences: Sequence[Sequence[int]]) -> list[Found]:
        """The sentence for each of these, in their order; an empty one stays empty.

        Words after the first `max_seq_len_source` are not looked at, as in training.
        """
        nothing = Found([], np.empty((0, 0), dtype=np.float32))
        written = [nothing] * len(sentences)
        side = Side.of([np.array(each[: self._cut], dtype=np.int32) for each in sentences])
        # Those of like length together, so that little is padding.
        order = np.argsort(side.lengths, kind="stable")
        order = order[side.lengths[order] > 0]
        for start in range(0, len(order), _ROWS):
            rows = order[start : start + _ROWS]
            lengths = side.lengths[rows]
            found = search(
                self._network,
                torch.from_numpy(side.padded(rows)).to(self._device),
                torch.from_numpy(lengths).to(self._device),
                self._beam,
                [self._lengths.longest(length) for length in lengths.tolist()],
            )
            for row, each in zip(rows.tolist(), found, strict=True):
                written[row] = each
        return written

    def _read(self, request: Request) -> list[_Sentence]:
        name, kind = "payload", request.content_type.name
        if kind == content.RECORDIO:
            found = []
            for number, message in enumerate(recordio.frames(request.body, name), 1):
                where = f"{name}, record {number}"
                record = recordio.parse(message, where)
                words = pairs.words(record, pairs.SOURCE, len(self._source), where)
                found.append(_Sentence(words.tolist()))
            return found
        if kind == content.JSON:
            document = json_of(request.body, name)
            instances = document.get("instances") if isinstance(document, dict) else None
            if not isinstance(instances, list) or not instances:
                raise FormatError(
                    f'{name}: must be {{"instances": [...]}}, each instance {_FORMS["instance"]}'
                )
            return [
                self._sentence(each, "data", "instance", f"{name}, instance {number}")
                for number, each in enumerate(instances, 1)
            ]
        found = [
            self._sentence(value, "source", "line", where)
            for where, value in json_lines(request.body, name)
        ]
        if not found:
            raise FormatError(f"{name} holds no line")
        return found

    def _sentence(self, given: object, key: str, form: str, where: str) -> _Sentence:
        if not isinstance(given, dict) or not isinstance(given.get(key), str):
            raise FormatError(f"{where}: must be {_FORMS[form]}")
        configuration = given.get("configuration", {})
        if not isinstance(configuration, dict):
            raise FormatError(f"{where}: configuration must be a JSON object")
        wish = configuration.get("attention_matrix", "false")
        if str(wish).lower() not in {"true", "false"}:
            raise FormatError(f"{where}: attention_matrix is {wish!r}; true or false is allowed")
        return _Sentence(self._source.numbers(given[key]), str(wish).lower() == "true")


def load(folder: Path) -> Model:
    """The network that `train` left, with its vocabularies."""
    tensors, settings = deep.load(
        folder / MODEL_FILE, FORMAT, FORMAT_VERSION, "Sequence-to-Sequence"
    )
    source, target = (_vocabulary(folder, name) for name in (SOURCE_FILE, TARGET_FILE))
    network = Network(settings["shape"], len(source), len(target))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CustomerError(
            f"{MODEL_FILE} does not hold the network of its vocabularies: {error}"
        ) from None
    return Model(
        network,
        settings["beam_size"],
        Lengths(**settings["lengths"]),
        settings["shape"]["max_seq_len_source"],
        (source, target),
    )


def _vocabulary(folder: Path, name: str) -> Vocabulary:
    path = folder / name
    if not path.is_file():
        raise CustomerError(f"the model has no file {name}")
    try:
        return Vocabulary.read(path, name)
    except FormatError as error:
        raise CustomerError(str(error)) from None
