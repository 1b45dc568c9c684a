"""What DeepAR reads, what it refuses, and what its network is told of a series."""

import gzip
import io
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from gluonts import time_feature
from gluonts.time_feature import get_lags_for_frequency, time_features_from_frequency_str
from gluonts.transform import (
    AddAgeFeature,
    AddObservedValuesIndicator,
    AddTimeFeatures,
    Chain,
    DummyValueImputation,
    InstanceSplitter,
    VstackFeatures,
)
from gluonts.transform.sampler import PredictionSplitSampler
from pyarrow import parquet

from algorithms.deepar import checks
from algorithms.deepar.frequency import Frequency
from algorithms.deepar.network import Settings
from algorithms.deepar.reading import read
from algorithms.deepar.series import Series, Wanted, parse
from algorithms.deepar.windows import Windows
from algorithms.toolkit.content import ContentType
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.job import Channel

START = "2009-11-01 00:00:00"
ALL = Wanted()
LINE = {"start": START, "target": [4.3, "NaN", 5.1], "cat": [0, 1], "dynamic_feat": [[1.1, 1.2, 2]]}


def channel(folder: Path, files: Mapping[str, bytes], content_type: str | None = None) -> Channel:
    for name, body in files.items():
        (folder / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "train" / name).write_bytes(body)
    kind = ContentType.parse(content_type) if content_type else None
    return Channel("train", folder / "train", kind, "File")


def as_lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_parquet(*rows: Mapping[str, Any], compression: str = "snappy") -> bytes:
    body = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(list(rows)), body, compression=compression)
    return body.getvalue()


def same(found: Series, expected: Series) -> None:
    assert found.start == expected.start
    np.testing.assert_array_equal(found.target, expected.target)
    assert found.cat == expected.cat
    np.testing.assert_array_equal(np.array(found.dynamic_feat), np.array(expected.dynamic_feat))


def test_json_lines_gzip_and_parquet_hold_the_same_series(tmp_path: Path) -> None:
    numbers = {**LINE, "target": [4.3, float("nan"), 5.1]}
    moment = {**LINE, "start": datetime(2009, 11, 1), "target": [4.3, None, 5.1]}
    files = {
        "a.json": as_lines(LINE, LINE),
        "b/c.json.gz": gzip.compress(as_lines(numbers) + b"\n"),
        "d.parquet": as_parquet(numbers),
        "e.parquet": as_parquet(moment, moment, compression="gzip"),
        ".hidden.json": b"not read",
        "_SUCCESS": b"not read",
    }
    found = read(channel(tmp_path, files), ALL)
    assert [one.place for one in found] == [
        "train/a.json, line 1",
        "train/a.json, line 2",
        "train/b/c.json.gz, line 1",
        "train/d.parquet, row 1",
        "train/e.parquet, row 1",
        "train/e.parquet, row 2",
    ]
    for one in found:
        same(one, parse(LINE, "", ALL))


@pytest.mark.parametrize("content_type", ["json", "application/jsonlines", "parquet"])
def test_a_file_without_extension_is_what_the_content_type_says(
    tmp_path: Path, content_type: str
) -> None:
    body = as_parquet(LINE | {"target": [1.0, 2.0]}) if "parquet" in content_type else b""
    found = read(channel(tmp_path, {"part-0": body or as_lines(LINE)}, content_type), ALL)
    assert len(found) == 1


def test_an_extension_is_believed_before_the_content_type(tmp_path: Path) -> None:
    assert read(channel(tmp_path, {"a.json": as_lines(LINE)}, "parquet"), ALL)


@pytest.mark.parametrize(
    ("content_type", "told"),
    [
        (None, "train/part-0: neither its name nor the content type"),
        ("auto", "train/part-0: neither its name nor the content type"),
        ("text/csv", "Content type 'text/csv' of channel 'train' is not supported"),
    ],
)
def test_a_file_of_unknown_form_is_refused(
    tmp_path: Path, content_type: str | None, told: str
) -> None:
    with pytest.raises(CustomerError, match=told):
        read(channel(tmp_path, {"part-0": as_lines(LINE)}, content_type), ALL)


WRONG = {
    "no start": ({"target": [1]}, "'start' is missing"),
    "no target": ({"start": START}, "'target' is missing"),
    "no date": ({**LINE, "start": "yesterday"}, "start is 'yesterday'; \"YYYY-MM-DD HH:MM:SS\""),
    "a zone": ({**LINE, "start": START + "+01:00"}, "start has a time zone"),
    "no array": ({**LINE, "target": 5}, ", target: must be an array of numbers, and is 5"),
    "a word": ({**LINE, "target": [1, "x"]}, "target[1]: 'x' is not a number; null and \"NaN\""),
    "a flag": ({**LINE, "target": [True]}, "target[0]: True is not a number"),
    "infinite": ({**LINE, "target": [1, float("inf")]}, "target[1]: inf is not a finite number"),
    "too large": ({**LINE, "target": [1e39]}, "target[0]: 1e+39 is not a finite number"),
    "enormous": ({**LINE, "target": [10**400]}, "target: holds a whole number beyond 64 bits"),
    "cat text": ({**LINE, "cat": [0, "1"]}, "cat[1]: '1' is no category"),
    "cat below": ({**LINE, "cat": [-1]}, "cat[0]: -1 is no category"),
    "cat part": ({**LINE, "cat": [0.5]}, "cat[0]: 0.5 is no category"),
    "flat": ({**LINE, "dynamic_feat": [1, 2]}, "dynamic_feat must be an array of arrays"),
    "gap": (
        {**LINE, "dynamic_feat": [[1, None, 2]]},
        "dynamic_feat[0][1]: a value is missing, which is not allowed here",
    ),
    "NaN": ({**LINE, "dynamic_feat": [[float("nan")] * 3]}, "dynamic_feat[0][0]: nan is not"),
    "ragged": (
        {**LINE, "dynamic_feat": [[1, 2, 3], [1, 2]]},
        "dynamic_feat[1] has 2 values, and dynamic_feat[0] 3; all must be as long",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_field_is_told_with_file_line_and_element(tmp_path: Path, case: str) -> None:
    fields, told = WRONG[case]
    with pytest.raises(FormatError) as error:
        read(channel(tmp_path, {"a.json": as_lines(LINE, fields)}), ALL)
    assert str(error.value).startswith("train/a.json, line 2")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("a.json", b'{"start": \n', "train/a.json, line 1: Error when parsing json"),
        ("a.json", b"[1]\n", "train/a.json, line 1: must be a JSON object with start and target"),
        ("a.json.gz", gzip.compress(as_lines(LINE))[:-9], "train/a.json.gz: not a readable gzip"),
        ("a.parquet", b"PAR1", "train/a.parquet: not a readable parquet file"),
        ("a.parquet", as_parquet({"target": [1.0]}), "train/a.parquet, row 1: 'start' is missing"),
        ("a.parquet", as_parquet({"start": START, "target": ["x"]}), "row 1, target[0]: 'x'"),
    ],
    ids=["broken", "array", "cut off", "no parquet", "no start", "word"],
)
def test_a_broken_file_is_told(tmp_path: Path, name: str, body: bytes, told: str) -> None:
    with pytest.raises(FormatError) as error:
        read(channel(tmp_path, {name: body}), ALL)
    assert told in str(error.value)


def test_what_is_not_wanted_is_not_even_read() -> None:
    fields = {**LINE, "cat": "?", "dynamic_feat": "?"}
    assert parse(fields, "", Wanted(cat=False, dynamic_feat=False)).cat is None


# What GluonTS and pandas call the frequencies of the contract.
FREQUENCIES = {
    "M": "ME",
    "3M": "3ME",
    "W": "W",
    "2W": "2W",
    "D": "D",
    "1D": "D",
    "H": "h",
    "2H": "2h",
    "min": "min",
    "15min": "15min",
}


@pytest.mark.parametrize(("ours", "theirs"), FREQUENCIES.items(), ids=list(FREQUENCIES))
def test_lags_and_time_features_are_those_of_gluonts(ours: str, theirs: str) -> None:
    frequency = Frequency.parse(ours)
    assert frequency.lags() == get_lags_for_frequency(theirs)
    features = time_features_from_frequency_str(theirs)
    assert [getattr(time_feature, name) for name in frequency.time_features()] == features
    start = datetime(2024, 2, 27, 21, 30)
    index = pd.period_range(start, periods=50, freq=theirs.replace("ME", "M"))
    expected = np.stack([feature(index) for feature in features], axis=1)
    table = frequency.table(frequency.time_features(), frequency.ordinal(start), 50)
    np.testing.assert_allclose(table, expected, atol=1e-6)


def test_the_lags_of_a_frequency_reach_back_whole_seasons() -> None:
    assert {24, 168} <= set(Frequency.parse("H").lags())
    assert {12, 24, 36} <= set(Frequency.parse("M").lags())
    assert {7, 14} <= set(Frequency.parse("D").lags())
    assert 52 in Frequency.parse("W").lags()
    assert {4, 96} <= set(Frequency.parse("15min").lags())


@pytest.mark.parametrize("text", ["", "S", "0D", "00min", "1.5H", "Q", "-1D", "h"])
def test_another_frequency_is_refused(text: str) -> None:
    with pytest.raises(CustomerError, match="a whole number from 1 and M, W, D, H or min"):
        Frequency.parse(text)


def settings(**changes: Any) -> Settings:
    values: dict[str, Any] = {
        "time_freq": "D",
        "context_length": 5,
        "prediction_length": 3,
        "likelihood": "student-T",
        "num_layers": 2,
        "num_cells": 6,
        "dropout_rate": 0.0,
        "embedding_dimension": 2,
        "cardinality": (),
        "num_dynamic_feat": 0,
        "lags": (1, 2, 9),
        "time_features": ("day_of_week", "day_of_month", "day_of_year"),
        "default_scale": 1.0,
    }
    return Settings(**(values | changes))


def series(length: int, start: str = START, **changes: Any) -> Series:
    random = np.random.default_rng(length)
    target = random.normal(size=length).astype(np.float32)
    target[1::7] = np.nan
    values = {"start": datetime.fromisoformat(start), "target": target, **changes}
    return Series(f"a series of {length}", **values)


@pytest.mark.parametrize("place", [0, 2, 8, 37], ids=lambda place: f"at {place}")
def test_a_window_is_the_one_that_gluonts_cuts(place: int) -> None:
    features = np.arange(80, dtype=np.float32).reshape(2, 40)
    other = series(25, "2010-03-05", dynamic_feat=np.zeros((2, 25), np.float32), cat=(1,))
    one = series(40, dynamic_feat=features, cat=(2,))
    used = settings(num_dynamic_feat=2, cardinality=(3,))
    windows = Windows([other, one], used)
    found = windows.cut(np.array([1]), np.array([place]), future=True)

    chain = Chain(
        [
            AddObservedValuesIndicator("target", "observed", DummyValueImputation(0.0)),
            AddTimeFeatures(
                "start", "target", "time", time_features_from_frequency_str("D"), pred_length=3
            ),
            AddAgeFeature("target", "age", pred_length=3, log_scale=True),
            VstackFeatures("feat", ["time", "age", "dynamic"]),
            InstanceSplitter(
                target_field="target",
                is_pad_field="pad",
                start_field="start",
                forecast_start_field="forecast",
                instance_sampler=PredictionSplitSampler(min_future=40 - place),
                past_length=5 + 9 - 1,
                future_length=3,
                time_series_fields=["feat", "observed"],
            ),
        ]
    )
    entry = {
        "start": pd.Period(one.start, "D"),
        "target": one.target,
        "dynamic": features,
    }
    (cut,) = chain([entry], is_train=True)
    for name, theirs in {
        "past_target": cut["past_target"],
        "future_target": cut["future_target"],
        "past_observed_values": cut["past_observed"][-5:],
        "future_observed_values": cut["future_observed"],
        "past_time_feat": cut["past_feat"][-5:],
        "future_time_feat": cut["future_feat"],
    }.items():
        np.testing.assert_allclose(found[name][0].numpy(), theirs, atol=1e-6, err_msg=name)
    assert found["feat_static_cat"].tolist() == [[2]]


def test_every_window_of_every_series_has_one_number() -> None:
    windows = Windows([series(10), series(2), series(4)], settings())
    assert windows.total == 8 + 1 + 2
    found = windows.chosen(np.arange(11))
    assert found["past_target"].shape == (11, 13)
    # What a series is too short for is not observed, so that it teaches nothing.
    assert found["future_observed_values"][8].tolist() == [1, 0, 0]
    assert found["future_observed_values"][0].tolist() == [1, 0, 1]


def test_series_must_agree_in_their_fields() -> None:
    with pytest.raises(FormatError, match="a series of 4: cat has 0 entries, and a series of 3 1"):
        checks.categories([series(3, cat=(1,)), series(4)])
    features = np.zeros((1, 4), np.float32)
    with pytest.raises(FormatError, match="a series of 4: dynamic_feat has 1 entries"):
        checks.dynamic_features([series(3), series(4, dynamic_feat=features)])


def test_cardinality_is_read_off_the_data_or_held_to_what_is_stated() -> None:
    found = checks.seen([series(3, cat=(0, 4)), series(4, cat=(2, 1))], 2)
    assert [np.flatnonzero(each).tolist() for each in found] == [[0, 2], [1, 4]]
    assert [len(each) for each in checks.held_to("auto", found)] == [3, 5]
    assert [len(each) for each in checks.held_to([3, 7], found)] == [3, 7]
    for wrong in ([2, 5], [3], [3, 5, 1]):
        with pytest.raises(CustomerError, match=r"the train channel need \[3, 5\]"):
            checks.held_to(wrong, found)
    merged = checks.merged([found, checks.seen([series(3, cat=(1, 6))], 2)])
    assert [np.flatnonzero(each).tolist() for each in merged] == [[0, 1, 2], [1, 4, 6]]


@pytest.mark.parametrize(
    ("likelihood", "value", "allowed"),
    [
        ("negative-binomial", -1, "whole numbers from 0"),
        ("negative-binomial", 1.5, "whole numbers from 0"),
        ("beta", -0.1, "numbers from 0 to 1"),
        ("beta", 1.5, "numbers from 0 to 1"),
    ],
)
def test_a_target_that_the_likelihood_rules_out_is_refused(
    likelihood: str, value: float, allowed: str
) -> None:
    target = np.array([1, np.nan, value], np.float32)
    with pytest.raises(FormatError, match=rf"target\[2\]: {value:g} is impossible .* {allowed}"):
        checks.support(series(3, target=target), likelihood)
    checks.support(series(3, target=target), "gaussian")
    checks.support(series(3, target=target[:2]), likelihood)
