import math
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import sacrebleu
import torch

from algorithms.catalog import algorithm
from algorithms.seq2seq.attention import Attention, Encoded
from algorithms.seq2seq.bleu import bleu
from algorithms.seq2seq.model import Lengths
from algorithms.seq2seq.network import Network, begin_weights
from algorithms.seq2seq.pairs import Pairs, Side
from algorithms.seq2seq.search import search
from algorithms.seq2seq.steps import LearningRate, Tally, Trainer
from algorithms.seq2seq.vocabulary import BEGIN, END, PADDING, UNKNOWN, Vocabulary
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError

SPECIAL = {"<pad>": 0, "<unk>": 1, "<s>": 2, "</s>": 3}
SMALL = {
    "num_embed_source": 6,
    "num_embed_target": 6,
    "rnn_num_hidden": 8,
    "cnn_num_hidden": 8,
    "max_seq_len_source": 9,
    "max_seq_len_target": 9,
}
WORDS = 12


def settings(**changes: Any) -> dict[str, Any]:
    texts = {name: str(value).lower() for name, value in {**SMALL, **changes}.items()}
    return algorithm("seq2seq").parse(texts)


def network(**changes: Any) -> Network:
    torch.manual_seed(0)
    made = Network(settings(**changes), WORDS, WORDS)
    begin_weights(made, "xavier", 2.34, "in")
    made.eval()
    return made


def some_pairs(*lengths: tuple[int, int], seed: int = 0) -> Pairs:
    random = np.random.default_rng(seed)
    sides = zip(*lengths, strict=True)
    return Pairs(
        *(
            Side.of([random.integers(4, WORDS, size=size).astype(np.int32) for size in side])
            for side in sides
        )
    )


def read(tmp_path: Path, value: object) -> Vocabulary:
    path = tmp_path / "vocab.src.json"
    path.write_bytes(value if isinstance(value, bytes) else orjson.dumps(value))
    return Vocabulary.read(path, "vocab/vocab.src.json")


def test_a_vocabulary_turns_words_into_numbers_and_back(tmp_path: Path) -> None:
    vocabulary = read(tmp_path, {**SPECIAL, "dog": 5, "cat": 4})
    assert vocabulary.numbers(" cat  dog\tcow\n") == [4, 5, UNKNOWN]
    assert vocabulary.text([5, UNKNOWN, 4]) == "dog <unk> cat"
    vocabulary.write(tmp_path / "again.json")
    assert Vocabulary.read(tmp_path / "again.json", "again").words == vocabulary.words


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (b"{", "vocab/vocab.src.json: not JSON: "),
        ([1], "vocab/vocab.src.json: must be a JSON object from words to numbers"),
        ({"a": 0}, "vocab/vocab.src.json: <pad> is missing; it must be 0. The first words are"),
        ({**SPECIAL, "</s>": 4, "a": 3}, "</s> is 4; it must be 3"),
        ({**SPECIAL, "<unk>": True}, "<unk> is True; it must be 1"),
        ({**SPECIAL, "a": 5}, "the number of 'a' is 5; 5 words have the numbers from 0 to 4"),
        ({**SPECIAL, "a": 3}, "the number of 'a' is 3; 5 words have"),
        ({**SPECIAL, "a": "4"}, "the number of 'a' is '4'; 5 words have"),
    ],
)
def test_a_wrong_vocabulary_is_refused_with_its_place(
    tmp_path: Path, value: object, sentence: str
) -> None:
    with pytest.raises(FormatError) as error:
        read(tmp_path, value)
    assert sentence in str(error.value)


def test_buckets_hold_sentences_of_like_length() -> None:
    lengths = [(1, 2), (9, 3), (2, 2), (4, 8), (3, 3), (5, 5)] * 4
    pairs = some_pairs(*lengths)
    batches = list(pairs.batches(3, 3, np.random.default_rng(0)))
    assert sum(len(batch.lengths) for batch in batches) == len(lengths)
    for batch in batches:
        longest = np.maximum(batch.lengths, (batch.after != PADDING).sum(axis=1) - 1)
        assert len(set(-(-longest // 3))) == 1
    mixed = pairs.batches(3, None, np.random.default_rng(0))
    assert any(np.ptp(batch.lengths) > 3 for batch in mixed)


def test_batches_are_shuffled_or_in_order_and_hold_each_pair_once() -> None:
    pairs = some_pairs(*[(2, 3)] * 20)
    (batch,) = pairs.batches(20, None, None)
    assert batch.source.ravel().tolist() == pairs.source.words.tolist()
    first, second = (
        np.concatenate([b.source for b in pairs.batches(3, 10, np.random.default_rng(seed))])
        for seed in (0, 1)
    )
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist()) == sorted(batch.source.tolist())


def test_a_batch_tells_the_decoder_the_word_before_and_asks_for_the_next() -> None:
    pairs = some_pairs((2, 1), (4, 3))
    batch = pairs.batch(np.array([1, 0]))
    one, other = pairs.target[0].tolist(), pairs.target[1].tolist()
    assert batch.before.tolist() == [[BEGIN, *other], [BEGIN, *one, PADDING, PADDING]]
    assert batch.after.tolist() == [[*other, END], [*one, END, PADDING, PADDING]]
    assert batch.source[1].tolist() == [*pairs.source[0], PADDING, PADDING]
    assert batch.lengths.tolist() == [4, 2]


SHAPES: list[dict[str, Any]] = [
    {},
    {"rnn_cell_type": "gru", "rnn_attention_type": "dot"},
    {"rnn_attention_type": "dot", "rnn_attention_num_hidden": 3},
    {"rnn_attention_type": "bilinear", "rnn_decoder_state_init": "avg"},
    {"rnn_attention_type": "fixed", "rnn_decoder_state_init": "zero"},
    {"num_layers_encoder": 3, "num_layers_decoder": 3, "rnn_residual_connections": True},
    {
        "num_layers_decoder": 2,
        "rnn_attention_in_upper_layers": False,
        "rnn_residual_connections": True,
        "rnn_first_residual_layer": 1,
        "num_embed_source": 8,
        "num_embed_target": 8,
    },
    {"encoder_type": "cnn", "decoder_type": "cnn", "num_layers_decoder": 2},
    {"encoder_type": "cnn", "cnn_kernel_width_encoder": 4, "cnn_activation_type": "relu"},
    {"decoder_type": "cnn", "cnn_kernel_width_decoder": 1, "cnn_activation_type": "softrelu"},
    {"decoder_type": "cnn", "cnn_num_hidden": 5, "cnn_activation_type": "sigmoid"},
    {"encoder_type": "cnn", "num_layers_encoder": 2, "cnn_activation_type": "tanh"},
]
IDS = [",".join(f"{name}={value}" for name, value in shape.items()) or "plain" for shape in SHAPES]


def tensors(pairs: Pairs) -> tuple[Any, Any, Any]:
    batch = pairs.batch(np.arange(len(pairs)))
    source, lengths, before = map(torch.from_numpy, (batch.source, batch.lengths, batch.before))
    return source, lengths, before


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_word_by_word_the_decoder_gives_what_it_gives_for_a_whole_sentence(
    shape: dict[str, Any],
) -> None:
    net = network(**shape)
    source, lengths, before = tensors(some_pairs((5, 6), (3, 6)))
    with torch.inference_mode():
        everywhere = torch.ones_like(before, dtype=torch.bool)
        whole = net(source, lengths, before, everywhere).view(*before.shape, -1)
        encoded = net.encode(source, lengths)
        prepared, state = net.decoder.prepare(encoded), net.decoder.start(encoded)
        for place in range(before.shape[1]):
            odds, state, shares = net.next(before[:, place], state, encoded, prepared)
            expected = whole[:, place].log_softmax(dim=1)
            assert torch.allclose(odds[:, END:], expected[:, END:], atol=1e-5)
            assert torch.isinf(odds[:, [PADDING, BEGIN]]).all()
            assert torch.allclose(shares.sum(dim=1), torch.ones(2), atol=1e-5)
            assert not shares[1, 3:].any()


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_padding_does_not_change_a_sentence(shape: dict[str, Any]) -> None:
    net = network(**shape)
    both = some_pairs((3, 2), (7, 8))
    source, lengths, before = tensors(both)
    alone = tensors(both.take(np.array([0])))
    with torch.inference_mode():
        wanted = torch.zeros_like(before, dtype=torch.bool)
        wanted[0, :3] = True
        together = net(source, lengths, before, wanted)
        single = net(*alone, torch.ones_like(alone[2], dtype=torch.bool))
    assert torch.allclose(together, single, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_every_weight_learns(shape: dict[str, Any]) -> None:
    net = network(**shape).train()
    source, lengths, before = tensors(some_pairs((5, 6), (3, 6)))
    net(
        source, lengths, before, torch.ones_like(before, dtype=torch.bool)
    ).square().sum().backward()
    assert [
        name
        for name, each in net.named_parameters()
        if each.grad is None or not each.grad.abs().sum() > 0
    ] == []


def test_the_first_layer_adds_vectors_of_words_only_where_these_are_as_wide() -> None:
    with pytest.raises(CustomerError, match="num_embed_source must be rnn_num_hidden, 8, and not"):
        network(rnn_residual_connections=True, rnn_first_residual_layer=1)


@pytest.mark.parametrize("kind", ["mlp", "dot", "bilinear", "fixed"])
def test_attention_gives_the_mean_of_states_by_its_shares(kind: str) -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[True, True, True, False]])
    states = torch.randn(1, 4, 5)
    encoded = Encoded(states, mask, states[:, 2], torch.tensor([3]))
    attention = Attention(kind, 7, 5, 6)
    context, shares = attention(torch.randn(1, 7), encoded, attention.keys(encoded))
    assert torch.allclose(context, (shares[..., None] * states).sum(dim=1))
    assert shares[0, 3].item() == 0
    assert (shares.tolist() == [[0, 0, 1, 0]]) == (kind == "fixed")


def weights(**changes: Any) -> Network:
    torch.manual_seed(0)
    told = settings(**changes)
    made = Network(told, WORDS, WORDS)
    begin_weights(
        made, told["weight_init_type"], told["weight_init_scale"], told["xavier_factor_type"]
    )
    return made


@pytest.mark.parametrize(("factor", "size"), [("in", 6), ("out", 32), ("avg", 19)])
def test_xavier_draws_weights_by_the_size_of_a_side(factor: str, size: float) -> None:
    # The first layer takes 6 numbers and gives those of four gates, of 4 each way.
    net = weights(xavier_factor_type=factor, rnn_num_hidden=16)
    found = net.encoder.first.weight_ih_l0
    end = math.sqrt(2.34 / size)
    assert 0.9 * end < float(found.detach().abs().max()) <= end


def test_uniform_draws_weights_up_to_the_scale_and_forget_gates_begin_open() -> None:
    net = weights(weight_init_type="uniform", weight_init_scale=-0.25)
    for name, each in net.named_parameters():
        if each.dim() > 1:
            assert 0.1 < float(each.detach().abs().max()) <= 0.25, name
    bias = net.encoder.first.bias_ih_l0.tolist()
    assert bias == [0] * 4 + [1] * 4 + [0] * 8
    with pytest.raises(CustomerError, match="weight_init_scale is -1"):
        weights(weight_init_scale=-1)


class Chain:
    """A network whose next word depends on the last one alone, by odds that are known."""

    def __init__(self, odds: dict[int, dict[int, float]]) -> None:
        table = torch.full((8, 8), -math.inf)
        for word, following in odds.items():
            for after, share in following.items():
                table[word, after] = math.log(share)
        self._table = table
        self.decoder = self

    def encode(self, source: Any, lengths: Any) -> Encoded:
        states = torch.zeros(*source.shape, 1)
        return Encoded(states, source > 0, states[:, 0], lengths)

    def prepare(self, encoded: Encoded) -> None:
        return None

    def start(self, encoded: Encoded) -> list[Any]:
        return [torch.zeros(len(encoded.states), dtype=torch.long)]

    def next(self, words: Any, state: list[Any], encoded: Encoded, _: None) -> Any:
        shares = torch.zeros(len(words), encoded.states.shape[1])
        # Every word looks at the place of its number, which tells one row's attention from another.
        shares[:, 0] = state[0].to(shares.dtype)
        return self._table[words].clone(), [state[0] + 1], shares


GARDEN_PATH = {
    BEGIN: {4: 0.6, 5: 0.4},
    4: {6: 0.3, 7: 0.3, END: 0.4},
    5: {6: 1.0},
    6: {END: 1.0},
    7: {END: 1.0},
}


def written(chain: Chain, beam: int, longest: int = 5) -> list[int]:
    net: Any = chain
    found = search(net, torch.tensor([[4, 4]]), torch.tensor([2]), beam, [longest])
    return found[0].words


def test_a_beam_finds_the_likelier_sentence_that_begins_worse() -> None:
    chain = Chain(GARDEN_PATH)
    assert written(chain, 1) == [4]
    for beam in (2, 3, 5):
        assert written(chain, beam) == [5, 6]


def test_a_sentence_ends_where_it_is_as_long_as_it_may_be() -> None:
    endless = Chain({BEGIN: {4: 0.9, 5: 0.1}, 4: {4: 0.99, END: 0.01}, 5: {END: 1.0}})
    assert written(endless, 1, longest=3) == [4, 4]
    assert written(endless, 2, longest=3) == [5]


def test_a_search_follows_attention_and_gives_each_row_its_own() -> None:
    net: Any = Chain(GARDEN_PATH)
    lengths = torch.tensor([2, 3])
    found = search(net, torch.tensor([[4, 4, 0], [4, 5, 6]]), lengths, 2, [5, 4])
    assert [each.words for each in found] == [[5, 6], [5, 6]]
    assert found[0].attention.tolist() == [[0, 0], [1, 0]]
    assert found[1].attention.shape == (2, 3)


def test_a_search_in_a_batch_gives_what_it_gives_alone() -> None:
    net = network()
    pairs = some_pairs((2, 2), (6, 2), (4, 2))
    source, lengths, _ = tensors(pairs)
    longest = [3, 6, 4]
    together = search(net, source, lengths, 4, longest)
    for row, each in enumerate(together):
        (alone,) = search(
            net, source[row : row + 1, : lengths[row]], lengths[row : row + 1], 4, [longest[row]]
        )
        assert alone.words == each.words
        assert np.allclose(alone.attention, each.attention, atol=1e-5)


def test_written_sentences_are_as_long_as_those_of_training_allow() -> None:
    lengths = Lengths.of(some_pairs((4, 5), (2, 10), (3, 4)), 30)
    assert lengths.seen == [0, 10, 10, 10]
    assert [lengths.longest(size) for size in (1, 2, 4, 8, 100)] == [3, 13, 13, 25, 31]


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.9, 1.0])
def test_bleu_is_that_of_sacrebleu(noise: float) -> None:
    random = np.random.default_rng(3)
    wanted = [random.integers(30, size=size).tolist() for size in random.integers(1, 12, size=40)]
    written = [
        [int(random.integers(30, 60)) if random.random() < noise else word for word in sentence]
        for sentence in wanted
    ]
    written[0] = []
    texts = [[" ".join(map(str, sentence)) for sentence in each] for each in (written, wanted)]
    judged = sacrebleu.corpus_bleu(texts[0], [texts[1]], tokenize="none", force=True).score
    assert bleu(written, wanted) == pytest.approx(judged / 100, abs=1e-9)


def test_bleu_of_sentences_too_short_for_it_is_zero() -> None:
    assert bleu([[1, 2]], [[1, 2]]) == 0
    assert bleu([[]], [[1]]) == 0


def test_fixed_rates_halve_with_their_half_life() -> None:
    told = {"fixed_rate_lr_half_life": 2, "checkpoint_frequency_num_batches": 50}
    for kind in ("fixed_rate_inv_t", "fixed_rate_inv_sqrt_t"):
        rate = LearningRate(settings(lr_scheduler_type=kind, **told))
        assert rate.factor(0) == 1
        assert rate.factor(100) == pytest.approx(0.5)
        assert not rate.checked(better=False)
    falls = [
        LearningRate(settings(lr_scheduler_type=kind, **told)).factor(1000)
        for kind in ("fixed_rate_inv_t", "fixed_rate_inv_sqrt_t")
    ]
    assert falls == [pytest.approx(1 / 11), pytest.approx(31**-0.5)]


def test_a_plateau_lowers_the_rate_after_checks_without_progress_in_a_row() -> None:
    rate = LearningRate(settings(plateau_reduce_lr_threshold=2, plateau_reduce_lr_factor=0.1))
    seen = [rate.checked(better=better) for better in (True, False, True, False, False, False)]
    assert seen == [False, False, False, False, True, False]
    assert rate.factor(10**6) == pytest.approx(0.1)


def test_perplexity_and_accuracy_are_those_of_a_word() -> None:
    tally = Tally(loss=math.log(8) * 4, right=1, words=4)
    tally.add(Tally(loss=math.log(2) * 4, right=3, words=4))
    assert tally.perplexity == pytest.approx(4)
    assert tally.accuracy == 0.5
    assert Tally(loss=1e6, words=1).perplexity == math.inf


def moved(**changes: Any) -> float:
    """The largest change of a weight by one step of plain gradient descent at rate 1."""
    net = network()
    before = {name: each.detach().clone() for name, each in net.named_parameters()}
    told = settings(optimizer_type="sgd", learning_rate=1, **changes)
    trainer = Trainer(net, told, torch.device("cpu"))
    trainer.step(some_pairs((5, 6), (3, 6)).batch(np.arange(2)), 0.5)
    return max(float((each.detach() - before[n]).abs().max()) for n, each in net.named_parameters())


def test_gradients_are_cut_at_the_limit_and_a_negative_one_cuts_nothing() -> None:
    free = moved(clip_gradient=-1)
    assert moved(clip_gradient=0.01) == pytest.approx(0.005)
    assert free > 0.02


def test_the_loss_is_that_of_words_and_not_of_padding() -> None:
    net = network()
    trainer = Trainer(net, settings(), torch.device("cpu"))
    pairs = some_pairs((5, 1), (3, 6), (4, 2))
    rows = [pairs.batch(np.array([row])) for row in range(3)]
    alone = [trainer.measure(row) for row in rows]
    together = trainer.measure(pairs.batch(np.arange(3)))
    assert together.words == sum(each.words for each in alone) == 2 + 7 + 3
    assert together.loss == pytest.approx(sum(each.loss for each in alone), rel=1e-5)
    assert together.right == sum(each.right for each in alone)
