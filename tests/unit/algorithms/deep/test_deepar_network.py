"""DeepAR's network: likelihoods, scales, forecasts and scores."""

import json
from datetime import datetime
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.deepar import scores
from algorithms.deepar.fitting import Mean, epoch_windows
from algorithms.deepar.network import Network, PointOutput, SeriesScaler, Settings
from algorithms.deepar.series import Series
from algorithms.deepar.windows import Windows
from tests.unit.algorithms.deep.test_deepar_data import settings

LIKELIHOODS = ["gaussian", "beta", "negative-binomial", "student-T", "deterministic-L1"]


def network(**changes: Any) -> tuple[Network, Settings]:
    torch.manual_seed(3)
    used = settings(**changes)
    return Network(used).eval(), used


def inputs(used: Settings, *targets: Any, future: bool = False) -> dict[str, Any]:
    series = [
        Series("", datetime(2020, 1, 1), np.array(target, np.float32), cat=(1,))
        for target in targets
    ]
    windows = Windows(series, used)
    ends = windows.lengths - (used.prediction_length if future else 0)
    return windows.cut(np.arange(len(series)), ends, future=future)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_paths_are_those_that_gluonts_draws(likelihood: str) -> None:
    model, used = network(
        likelihood=likelihood, cardinality=(3,), prediction_length=12, lags=(1, 2, 3, 7, 10, 13)
    )
    given = inputs(used, np.linspace(0, 1, 40).round(), np.ones(7))
    torch.manual_seed(5)
    own = model.paths(given, 20)
    torch.manual_seed(5)
    theirs = model.forward(**given, num_parallel_samples=20)
    assert own.shape == (2, 20, 12)
    torch.testing.assert_close(own, theirs)


def test_each_likelihood_draws_what_it_allows() -> None:
    drawn = {}
    for likelihood in LIKELIHOODS:
        model, used = network(likelihood=likelihood)
        drawn[likelihood] = model.paths(inputs(used, [0.2, 0.7, 0.4] * 9), 200).numpy().ravel()
    counts = drawn["negative-binomial"]
    assert (counts >= 0).all()
    assert (counts == counts.round()).all()
    assert len(set(counts)) > 2
    assert ((drawn["beta"] >= 0) & (drawn["beta"] <= 1)).all()
    assert (drawn["gaussian"] < 0).any()
    # Of the same spread, more values far away.
    tails = {
        name: (
            np.abs(values - np.median(values)) > 4 * np.subtract(*np.quantile(values, [0.75, 0.25]))
        ).mean()
        for name, values in drawn.items()
    }
    assert tails["student-T"] > tails["gaussian"]
    assert len(set(drawn["deterministic-L1"])) == 3


def test_losses_are_those_of_their_distributions() -> None:
    params = {
        "gaussian": ((1.0, 2.0), torch.distributions.Normal(3.0, 6.0)),
        "student-T": ((4.0, 1.0, 2.0), torch.distributions.StudentT(4.0, 3.0, 6.0)),
        # The mean is count * exp(logit), in the scale of the series.
        "negative-binomial": (
            (2.0, 0.5),
            torch.distributions.NegativeBinomial(2.0, logits=torch.tensor(0.5 + np.log(3))),
        ),
    }
    target = torch.tensor([[4.0]])
    for likelihood, (arguments, distribution) in params.items():
        model, _ = network(likelihood=likelihood)
        loss = model.distr_output.loss(
            target, tuple(torch.tensor([[each]]) for each in arguments), scale=torch.tensor([[3.0]])
        )
        assert float(loss) == pytest.approx(-float(distribution.log_prob(target)), rel=1e-5)
    point = PointOutput().loss(target, (torch.tensor([[1.0]]),), scale=torch.tensor([[3.0]]))
    assert float(point) == pytest.approx(1 / 3)


def test_beta_takes_its_edges() -> None:
    model, used = network(likelihood="beta")
    loss = model.loss(**inputs(used, [0.0, 1.0] * 10, future=True))
    assert torch.isfinite(loss).all()


def test_a_forecast_grows_with_its_series() -> None:
    model, used = network(likelihood="gaussian")
    target = np.array([3.0, 4.0, 5.0] * 9)
    small, large = inputs(used, target), inputs(used, 1000 * target)
    torch.manual_seed(0)
    one = model.paths(small, 50)
    torch.manual_seed(0)
    other = model.paths(large, 50)
    ratio = other.abs().mean() / one.abs().mean()
    assert 500 < float(ratio) < 2000


def test_beta_is_not_scaled() -> None:
    model, used = network(likelihood="beta")
    assert float(model.unroll_lagged_rnn(**_first(inputs(used, [0.25] * 20)))[1]) == 1.0


def _first(given: dict[str, Any]) -> dict[str, Any]:
    return {**given, "future_time_feat": given["future_time_feat"][:, :1]}


def test_a_window_of_which_nothing_is_known_has_the_scale_of_all_data() -> None:
    scaler = SeriesScaler(dim=-1, keepdim=True, default_scale=7.0)
    data = torch.tensor([[1.0, -3.0], [2.0, 100.0], [5.0, 5.0], [0.0, 0.0]])
    observed = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    _, _, scale = scaler(data, observed)
    assert scale.ravel().tolist() == [2.0, 2.0, 7.0, 7.0]


@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_disturbs_training_and_not_forecasts(layers: int) -> None:
    model, used = network(num_layers=layers, dropout_rate=0.5, likelihood="deterministic-L1")
    given = inputs(used, np.arange(40), future=True)
    model.train()
    losses = {float(model.loss(**given)) for _ in range(3)}
    assert len(losses) == 3
    model.eval()
    assert float(model.loss(**given)) == float(model.loss(**given))


def test_what_is_missing_teaches_nothing() -> None:
    model, used = network()
    given = inputs(used, [1.0, 2.0, 3.0] * 8, future=True)
    changed = dict(given)
    changed["future_observed_values"] = given["future_observed_values"] * 0
    changed["past_observed_values"] = given["past_observed_values"] * 0
    assert float(model.loss(**changed)) == 0.0
    other = {**given, "future_observed_values": given["future_observed_values"].clone()}
    other["future_observed_values"][:, -1] = 0
    wild = {**other, "future_target": given["future_target"].clone()}
    wild["future_target"][:, -1] = 1e6
    assert float(model.loss(**other)) == float(model.loss(**wild))


def test_settings_make_the_size_of_the_network() -> None:
    model, _ = network(cardinality=(3, 4), num_cells=7, num_layers=3, embedding_dimension=5)
    assert (model.rnn.num_layers, model.rnn.hidden_size) == (3, 7)
    # Lags, two embeddings, the scale, a constant, age, and features of time.
    assert model.rnn.input_size == 3 + 2 * 5 + 1 + 1 + 1 + 3


def test_settings_come_back_from_json() -> None:
    used = settings(cardinality=(3, 4))
    assert Settings.restored(json.loads(json.dumps(used.stored()))) == used


def test_scores_are_those_of_the_contract() -> None:
    truth = np.array([[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]])
    paths = np.stack([truth + 1, truth - 1, np.full((2, 3), 3.0)], axis=1)
    paths = np.nan_to_num(paths, nan=9.0)
    found = scores.scores(scores.sums(truth, paths, [0.1, 0.5]), [0.1, 0.5])
    known = ~np.isnan(truth)
    losses = []
    for share in (0.1, 0.5):
        q = np.quantile(paths, share, axis=1)
        each = np.where(q > truth, (1 - share) * (q - truth), share * (truth - q))
        losses.append(2 * each[known].sum())
    mean = paths.mean(axis=1)
    assert found == pytest.approx(
        {
            "RMSE": np.sqrt(((mean - truth)[known] ** 2).mean()),
            "mean_absolute_QuantileLoss": np.mean(losses),
            "mean_wQuantileLoss": np.mean(losses) / 18,
            "wQuantileLoss[0.1]": losses[0] / 18,
            "wQuantileLoss[0.5]": losses[1] / 18,
        }
    )


def test_scores_of_parts_add_up() -> None:
    random = np.random.default_rng(0)
    truth, paths = random.normal(size=(6, 4)), random.normal(size=(6, 30, 4))
    whole = scores.sums(truth, paths, [0.3])
    parts = [scores.sums(truth[i::2], paths[i::2], [0.3]) for i in range(2)]
    assert scores.scores({k: parts[0][k] + parts[1][k] for k in whole}, [0.3]) == pytest.approx(
        scores.scores(whole, [0.3])
    )


def test_an_epoch_is_a_pass_over_the_points_of_ten_steps_at_least() -> None:
    assert epoch_windows(points=100_000, prediction_length=100, mini_batch_size=32) == 1000
    assert epoch_windows(points=400, prediction_length=100, mini_batch_size=32) == 320


def test_parameters_are_the_mean_over_the_last_steps_before_they_were_kept() -> None:
    model, _ = network()
    parameter = next(iter(model.parameters()))
    mean = Mean(model)

    def step(value: float) -> None:
        with torch.no_grad():
            parameter.fill_(value)
        mean.add()

    for _ in range(400):
        step(1.0)
    step(2.0)
    mean.keep()
    step(9.0)
    mean.restore()
    # The last of many steps counts by three in a hundred.
    assert parameter.detach().numpy() == pytest.approx(1.03, abs=1e-3)
