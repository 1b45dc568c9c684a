from collections.abc import Mapping
from typing import Any

import pytest

from algorithms.catalog import ChannelError, ResourceError, algorithm

CSV = {"content_type": "text/csv"}


def refused(
    name: str,
    channels: Mapping[str, Mapping[str, str | None]],
    values: dict[str, Any] | None = None,
) -> list[str]:
    with pytest.raises(ChannelError) as caught:
        algorithm(name).check_channels(channels, values)
    return caught.value.problems


def test_a_missing_channel_is_named_with_what_belongs_in_it() -> None:
    (problem,) = refused("xgboost", {"validation": CSV})
    assert problem.startswith("Channel train is missing: Rows with a label")
    assert "text/csv" in problem


def test_an_unknown_channel_is_answered_with_those_that_exist() -> None:
    assert refused("kmeans", {"train": CSV, "validation": CSV}) == [
        "Channel 'validation' is unknown to kmeans; it takes train, test."
    ]


@pytest.mark.parametrize(
    ("name", "channel", "given", "sentence"),
    [
        ("factorization-machines", "train", CSV, "content type 'text/csv'"),
        ("kmeans", "train", {"content_type": "text/csv;label_size=1"}, "text/csv;label_size=0"),
        (
            "randomcutforest",
            "train",
            {"distribution": "FullyReplicated"},
            "randomcutforest takes ShardedByS3Key there",
        ),
        ("xgboost", "train", {"input_mode": "Pipe"}, "xgboost takes File or FastFile"),
        ("deepar", "train", {"input_mode": "Pipe"}, "deepar takes File"),
    ],
)
def test_a_channel_that_the_algorithm_cannot_read_is_refused(
    name: str, channel: str, given: dict[str, str | None], sentence: str
) -> None:
    assert any(sentence in problem for problem in refused(name, {channel: given}))


@pytest.mark.parametrize(
    "content_type",
    [None, "text/csv", "text/csv;label_size=0", "text/csv; label_size=0", "Text/CSV"],
)
def test_a_content_type_is_read_as_a_header_is(content_type: str | None) -> None:
    algorithm("kmeans").check_channels({"train": {"content_type": content_type}})


def test_images_in_files_need_their_lists_and_a_size() -> None:
    images = {"content_type": "image/jpeg"}
    found = refused("image-classification", {"train": images, "validation": images})
    assert [problem.split(" is missing")[0] for problem in found] == [
        "Channel train_lst",
        "Channel validation_lst",
        "Hyperparameter resize",
    ]


def test_images_in_recordio_need_no_lists() -> None:
    packed = {"content_type": "application/x-recordio"}
    algorithm("image-classification").check_channels({"train": packed, "validation": packed})


def test_hyperparameters_decide_about_channels() -> None:
    text = {"content_type": "text/plain"}
    assert refused("blazingtext", {"train": text, "validation": text}, {"mode": "cbow"}) == [
        "Channel validation is taken only when mode is supervised."
    ]
    stopping = {"mode": "supervised", "early_stopping": "True"}
    assert any(
        "mode is supervised" in one for one in refused("blazingtext", {"train": text}, stopping)
    )
    algorithm("blazingtext").check_channels({"train": text, "validation": text}, stopping)
    algorithm("blazingtext").check_channels({"train": text}, {"mode": "supervised"})


@pytest.mark.parametrize(
    ("name", "instance_type", "count", "values", "sentence"),
    [
        ("seq2seq", "ml.m5.xlarge", 1, {}, "trains on GPU instances only, and ml.m5.xlarge"),
        ("lda", "ml.g5.xlarge", 1, {}, "trains on CPU instances only, and ml.g5.xlarge"),
        ("lda", "ml.m5.xlarge", 2, {}, "lda trains on one instance only, not on 2."),
        ("blazingtext", "ml.m5.xlarge", 2, {"mode": "cbow"}, "only when mode is batch_skipgram."),
    ],
)
def test_instances_on_which_an_algorithm_cannot_train_are_refused(
    name: str, instance_type: str, count: int, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ResourceError) as caught:
        algorithm(name).check_resources([instance_type], count, values)
    assert any(sentence in problem for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("name", "instance_type", "count", "values"),
    [
        ("xgboost", "ml.m5.xlarge", 4, {}),
        ("seq2seq", "ml.p3.2xlarge", 1, {}),
        ("blazingtext", "ml.c5.xlarge", 3, {"mode": "batch_skipgram"}),
        ("lda", "ml.c5.xlarge", 1, {}),
    ],
)
def test_instances_on_which_it_can_are_not(
    name: str, instance_type: str, count: int, values: dict[str, Any]
) -> None:
    algorithm(name).check_resources([instance_type], count, values)
