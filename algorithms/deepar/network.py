"""GluonTS's DeepAR network with the likelihoods, scales and forecasts of AWS's contract.

D. Salinas, V. Flunkert, J. Gasthaus, DeepAR: Probabilistic Forecasting with Autoregressive
Recurrent Networks (2017). Network and distributions are GluonTS's, by the same authors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from algorithms.deepar.gluon import (
    BetaOutput,
    DeepARModel,
    DistributionOutput,
    MeanScaler,
    NegativeBinomialOutput,
    NormalOutput,
    StudentTOutput,
)

# Whether arguments are possible is seen by the loss; asking each distribution costs a tenth.
torch.distributions.Distribution.set_default_validate_args(False)

Inputs = Mapping[str, Any]

# A beta distribution has no finite density at 0 and 1.
_EDGE = 1e-4


@dataclass(frozen=True)
class Settings:
    """What a network is built from; `tuple`s and plain values only, for they are stored as JSON."""

    time_freq: str
    context_length: int
    prediction_length: int
    likelihood: str
    num_layers: int
    num_cells: int
    dropout_rate: float
    embedding_dimension: int
    cardinality: tuple[int, ...]
    """Of each categorical feature; none where there are none."""

    num_dynamic_feat: int
    lags: tuple[int, ...]
    time_features: tuple[str, ...]
    default_scale: float
    """Of a window in which nothing is known, or everything is 0."""

    def stored(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Settings:
        """From what `stored` gave, once it was JSON."""
        lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **lists})


class BetaOnUnit(BetaOutput):
    """A beta distribution that takes 0 and 1, too."""

    def loss(self, target: Any, distr_args: Any, loc: Any = None, scale: Any = None) -> Any:
        """The negative log likelihood."""
        return super().loss(target.clamp(_EDGE, 1 - _EDGE), distr_args, loc, scale)


class Point:
    """All of the probability on one value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def sample(self) -> Any:
        """The value itself."""
        return self.value


class PointOutput(DistributionOutput):
    """A forecast without uncertainty, by its absolute error in the scale of each series."""

    args_dim = {"value": 1}  # noqa: RUF012 GluonTS's own way

    @classmethod
    def domain_map(cls, value: Any) -> Any:
        """Any number is possible."""
        return (value.squeeze(-1),)

    def distribution(self, distr_args: Any, loc: Any = None, scale: Any = None) -> Any:
        """What samples are drawn from."""
        (value,) = distr_args
        return Point(value if scale is None else value * scale)

    def loss(self, target: Any, distr_args: Any, loc: Any = None, scale: Any = None) -> Any:
        """The absolute error."""
        (value,) = distr_args
        return (value - (target if scale is None else target / scale)).abs()

    @property
    def event_shape(self) -> tuple[int, ...]:
        """A single number."""
        return ()


_OUTPUTS = {
    "gaussian": NormalOutput,
    "beta": BetaOnUnit,
    "negative-binomial": NegativeBinomialOutput,
    "student-T": StudentTOutput,
    "deterministic-L1": PointOutput,
}


class SeriesScaler(MeanScaler):
    """The mean absolute value of what is known of a window, and else that of all training data.

    GluonTS takes the mean of whatever else is in the batch for a window of which nothing is known,
    and almost nothing for one that is 0 throughout, which then makes other values huge.
    """

    def __call__(self, data: Any, observed_indicator: Any) -> Any:
        """The scaled data, no shift, and the scale."""
        total = (data * observed_indicator).abs().sum(self.dim, keepdim=True)
        scale = total / observed_indicator.sum(self.dim, keepdim=True).clamp(min=1)
        scale = torch.where(scale > self.minimum_scale, scale, self.default_scale)
        return data / scale, torch.zeros_like(scale), scale


class _Dropped(torch.nn.Module):
    """A recurrent network of one layer, with the dropout that others have between theirs."""

    def __init__(self, rnn: Any, rate: float) -> None:
        super().__init__()
        self.rnn = rnn
        self.dropout = torch.nn.Dropout(rate)

    def forward(self, rows: Any, state: Any = None) -> Any:
        output, state = self.rnn(rows, state)
        return self.dropout(output), state


class Network(DeepARModel):
    """DeepAR as its settings say."""

    def __init__(self, settings: Settings) -> None:
        several = settings.num_layers > 1
        # A share of a likelihood on [0, 1] is not one any more once it is scaled.
        scaled = settings.likelihood != "beta"
        super().__init__(
            freq=settings.time_freq,
            context_length=settings.context_length,
            prediction_length=settings.prediction_length,
            num_feat_dynamic_real=1 + len(settings.time_features) + settings.num_dynamic_feat,
            num_feat_static_real=1,
            num_feat_static_cat=max(1, len(settings.cardinality)),
            cardinality=list(settings.cardinality or (1,)),
            embedding_dimension=[settings.embedding_dimension] * len(settings.cardinality) or [1],
            num_layers=settings.num_layers,
            hidden_size=settings.num_cells,
            dropout_rate=settings.dropout_rate if several else 0.0,
            distr_output=_OUTPUTS[settings.likelihood](),
            lags_seq=list(settings.lags),
            scaling=scaled,
        )
        if scaled:
            self.scaler = SeriesScaler(dim=-1, keepdim=True, default_scale=settings.default_scale)
        if not several and settings.dropout_rate:
            self.rnn: Any = _Dropped(self.rnn, settings.dropout_rate)
        self.certain = settings.likelihood == "deterministic-L1"

    @torch.no_grad()
    def paths(self, inputs: Inputs, count: int) -> Any:
        """So many possible futures of each series: series x paths x points.

        They are those that `forward` of GluonTS draws with the same seed. It keeps a copy of a
        series' past for each of its paths; here the past is shared, and only what is drawn is not.
        """
        if self.certain:
            return self._paths(inputs, 1).expand(-1, count, -1)
        return self._paths(inputs, count)

    def _paths(self, inputs: Inputs, count: int) -> Any:
        future = inputs["future_time_feat"]
        known = {name: value for name, value in inputs.items() if name != "future_time_feat"}
        params, scale, _, static, state = self.unroll_lagged_rnn(
            **known, future_time_feat=future[:, :1]
        )
        past = inputs["past_target"] / scale
        length = past.shape[1]
        rows = len(past) * count
        scales = scale.repeat_interleave(count, dim=0)
        statics = static.repeat_interleave(count, dim=0)
        state = [each.repeat_interleave(count, dim=1) for each in state]
        last = [each[:, -1:].repeat_interleave(count, dim=0) for each in params]
        drawn = past.new_empty((rows, self.prediction_length))
        values = self.output_distribution(last, scale=scales).sample()
        drawn[:, :1] = values / scales
        lags = np.array(self.lags_seq)
        for step in range(1, self.prediction_length):
            # Counted from what was drawn last, which a lag of 0 means.
            new, old = lags[lags < step], lags[lags >= step]
            recent = drawn[:, torch.from_numpy(step - 1 - new)]
            before = past[:, torch.from_numpy(length + step - 1 - old)]
            features = torch.cat((before, future[:, step]), dim=1).repeat_interleave(count, dim=0)
            row = torch.cat(
                (recent, features[:, : len(old)], statics, features[:, len(old) :]), dim=1
            )
            output, state = self.rnn(row.unsqueeze(1), state)
            values = self.output_distribution(self.param_proj(output), scale=scales).sample()
            drawn[:, step : step + 1] = values / scales
        return (drawn * scales).reshape(-1, count, self.prediction_length)
