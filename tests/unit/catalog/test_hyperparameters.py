import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.catalog import HyperparameterError, algorithm, names

XGBOOST = {"num_round": "5"}
KMEANS = {"feature_dim": "64", "k": "10"}
LINEAR = {"predictor_type": "regressor"}
FREQUENCY = (
    "a whole number from 1, which may be left out, and M, W, D, H or min, such as D or 15min"
)
NTM = {"feature_dim": "2000", "num_topics": "20"}


def problems(name: str, values: dict[str, Any]) -> list[str]:
    with pytest.raises(HyperparameterError) as caught:
        algorithm(name).check(values)
    return caught.value.problems


def test_numbers_come_as_text_and_as_numbers() -> None:
    as_text = algorithm("xgboost").parse({"num_round": "5", "eta": "1e-1", "max_depth": " 3 "})
    as_numbers = algorithm("xgboost").parse({"num_round": 5.0, "eta": 0.1, "max_depth": 3})
    assert as_text == as_numbers
    assert (as_text["num_round"], as_text["eta"], as_text["max_depth"]) == (5, 0.1, 3)
    assert isinstance(as_numbers["num_round"], int)
    assert isinstance(algorithm("xgboost").parse({"num_round": 5, "eta": 1})["eta"], float)


def test_every_type_comes_back_as_its_own() -> None:
    read = algorithm("ntm").parse(
        {
            **NTM,
            "batch_norm": "True",
            "encoder_layers": "60, 40",
            "optimizer": "adam",
            "clip_gradient": "Infinity",
        }
    )
    assert read["batch_norm"] is True
    assert read["encoder_layers"] == [60, 40]
    assert read["optimizer"] == "adam"
    assert read["clip_gradient"] == math.inf
    assert read["epochs"] == 50


@pytest.mark.parametrize(
    ("name", "values", "key", "expected"),
    [
        (
            "deepar",
            {"cardinality": "[3, 12]", "test_quantiles": "[0.1,0.9]"},
            "cardinality",
            [3, 12],
        ),
        ("kmeans", {"eval_metrics": '["msd","ssd"]'}, "eval_metrics", ["msd", "ssd"]),
        ("xgboost", {"eval_metric": "rmse,error@0.7"}, "eval_metric", ["rmse", "error@0.7"]),
        ("xgboost", {"eval_metric": ["rmse", "mae"]}, "eval_metric", ["rmse", "mae"]),
        (
            "xgboost",
            {"monotone_constraints": "(0, 1)", "tree_method": "hist"},
            "monotone_constraints",
            [0, 1],
        ),
        (
            "xgboost",
            {"monotone_constraints": "(-1,)", "tree_method": "exact"},
            "monotone_constraints",
            [-1],
        ),
        (
            "xgboost",
            {"interaction_constraints": "[[0, 2], [1]]", "tree_method": "hist"},
            "interaction_constraints",
            [[0, 2], [1]],
        ),
        ("image-classification", {"image_shape": "3,32,32"}, "image_shape", [3, 32, 32]),
    ],
)
def test_lists_come_in_the_form_that_their_container_takes(
    name: str, values: dict[str, Any], key: str, expected: list[Any]
) -> None:
    minimal = {
        "deepar": {
            "context_length": "5",
            "epochs": "1",
            "prediction_length": "5",
            "time_freq": "5min",
        },
        "image-classification": {"num_classes": "2", "num_training_samples": "10"},
        "kmeans": KMEANS,
        "xgboost": XGBOOST,
    }
    assert algorithm(name).parse({**minimal[name], **values})[key] == expected


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("xgboost", {"max_depth": "-1"}, "max_depth is '-1'; it must be an integer of at least 0."),
        ("xgboost", {"num_round": "2.5"}, "num_round is '2.5'; it must be an integer"),
        ("xgboost", {"num_round": "1_000"}, "num_round is '1_000'; it must be an integer"),
        ("xgboost", {"num_round": True}, "num_round is True; it must be an integer"),
        ("xgboost", {"num_round": ""}, "num_round is ''; it must be an integer"),
        ("xgboost", {"num_round": None}, "num_round is None; it must be an integer"),
        ("xgboost", {"num_round": "9" * 5000}, "(5002 characters); it must be an integer"),
        ("xgboost", {"eta": "1.5"}, "eta is '1.5'; it must be a number from 0 to 1."),
        ("xgboost", {"eta": "fast"}, "eta is 'fast'; it must be a number from 0 to 1."),
        ("xgboost", {"eta": "nan"}, "eta is 'nan'; it must be a number from 0 to 1."),
        ("xgboost", {"gamma": "inf"}, "gamma is 'inf'; it must be a number of at least 0."),
        ("xgboost", {"gamma": "1e999"}, "gamma is '1e999'; it must be a number of at least 0."),
        ("xgboost", {"gamma": 10**400}, "it must be a number of at least 0."),
        ("xgboost", {"subsample": "0"}, "it must be a number above 0 and at most 1."),
        ("xgboost", {"tweedie_variance_power": 2}, "it must be a number above 1 and below 2."),
        ("xgboost", {"csv_weights": "2"}, "csv_weights is '2'; it must be an integer of 0, 1."),
        ("xgboost", {"booster": "gbtre"}, "one of gbtree, gblinear, dart (did you mean gbtree?)."),
        ("xgboost", {"save_model_on_termination": "yes"}, "it must be true or false."),
        ("xgboost", {"eval_metric": "rmse,foo"}, "eval_metric holds an element that is 'foo'"),
        ("xgboost", {"eval_metric": ""}, "it must be a comma-separated list such as error,auc"),
        ("xgboost", {"interaction_constraints": "[[1,-2]]"}, "is -2; it must be an integer of at"),
        ("xgboost", {"interaction_constraints": "[" * 2000}, "it must be a JSON list such as"),
        ("kmeans", {"eval_metrics": "msd"}, 'a JSON list such as ["msd", "ssd"], each one of'),
        ("kmeans", {"extra_center_factor": "0"}, "it must be auto, or an integer of at least 1."),
        ("linear-learner", {"momentum": "1"}, "auto, or a number of at least 0 and below 1."),
        ("seq2seq", {"rnn_num_hidden": "513"}, "an integer of at least 2, a multiple of 2."),
        ("image-classification", {"num_layers": "19"}, "an integer of 18, 34, 50, 101, 152, 200"),
        ("deepar", {"time_freq": "5x"}, f"time_freq is '5x'; it must be {FREQUENCY}."),
        ("deepar", {"time_freq": "MS"}, f"time_freq is 'MS'; it must be {FREQUENCY}."),
        ("deepar", {"time_freq": "h"}, f"time_freq is 'h'; it must be {FREQUENCY}."),
        ("deepar", {"time_freq": "5T"}, f"time_freq is '5T'; it must be {FREQUENCY}."),
        ("deepar", {"time_freq": "W-MON"}, f"time_freq is 'W-MON'; it must be {FREQUENCY}."),
        ("deepar", {"time_freq": "30s"}, f"time_freq is '30s'; it must be {FREQUENCY}."),
        ("deepar", {"time_freq": "0D"}, f"time_freq is '0D'; it must be {FREQUENCY}."),
        ("xgboost", {"eval_metric": "error@"}, "or error@ and a threshold, or ndcg or map with @"),
        (
            "object2vec",
            {"enc0_vocab_file": "../vocab"},
            "it must be empty, or a file name of letters, digits, points and underscores, such as "
            "vocab.json",
        ),
    ],
)
def test_a_bad_value_is_shown_with_what_is_allowed(
    name: str, values: dict[str, Any], sentence: str
) -> None:
    assert any(sentence in problem for problem in problems(name, values))


@pytest.mark.parametrize(
    ("name", "wrong", "nearest"),
    [
        ("kmeans", "mini_batch_siz", "mini_batch_size"),
        ("xgboost", "num_rounds", "num_round"),
        ("xgboost", "learning_rat", "learning_rate"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, wrong: str, nearest: str) -> None:
    found = [problem for problem in problems(name, {wrong: "1"}) if repr(wrong) in problem]
    assert found == [f"Hyperparameter {wrong!r} is unknown to {name}: did you mean {nearest}?"]


def test_an_unknown_name_that_is_like_none_is_answered_with_all() -> None:
    assert any(
        "feature_dim, k, epochs" in problem
        for problem in problems("kmeans", {"zzz": "1", **KMEANS})
    )


def test_a_script_of_ones_own_is_refused_and_not_ignored() -> None:
    assert problems("xgboost", {**XGBOOST, "sagemaker_program": "train.py"}) == [
        "sagemaker_program asks for a script of your own, which xgboost does not run here."
    ]


def test_all_problems_are_said_at_once() -> None:
    found = problems(
        "xgboost", {"eta": "2", "max_dept": "3", "objective": "reg:squarederror", "num_class": "4"}
    )
    assert len(found) == 4
    assert {problem.split()[0] for problem in found} == {"eta", "Hyperparameter", "Do"}
    assert all(problem.endswith((".", "?")) for problem in found)


@pytest.mark.parametrize("name", names())
def test_reserved_names_are_tolerated_and_left_out(name: str) -> None:
    entry = algorithm(name)
    _, _, found = entry._read({"_log_level": "debug", "_kvstore": "dist_async"})
    assert not any("_log_level" in problem or "_kvstore" in problem for problem in found)


def test_reserved_names_reach_the_job_and_not_the_algorithm() -> None:
    values = {**KMEANS, "_tuning_objective_metric": "test:msd"}
    assert "_tuning_objective_metric" not in algorithm("kmeans").parse(values)
    assert algorithm("kmeans").encode(values) == values


def test_an_alias_stands_for_its_hyperparameter() -> None:
    assert algorithm("xgboost").parse({**XGBOOST, "learning_rate": "0.2"})["eta"] == 0.2
    assert "learning_rate" not in algorithm("xgboost").parse({**XGBOOST, "reg_alpha": "1"})


def test_an_alias_beside_its_hyperparameter_is_refused() -> None:
    assert problems("xgboost", {**XGBOOST, "eta": "0.1", "learning_rate": "0.2"}) == [
        "learning_rate and eta are the same; give one of them."
    ]


def test_only_what_was_given_comes_back_without_defaults() -> None:
    values = {**XGBOOST, "reg_lambda": "2"}
    assert algorithm("xgboost").parse(values, defaults=False) == {"num_round": 5, "lambda": 2.0}


def test_what_has_no_default_is_left_out() -> None:
    filled = algorithm("xgboost").parse(XGBOOST)
    assert filled["max_depth"] == 6
    assert {"num_class", "early_stopping_rounds", "eval_metric"}.isdisjoint(filled)


def test_a_default_may_follow_another_hyperparameter() -> None:
    read = algorithm("seq2seq").parse
    assert read({})["rnn_attention_num_hidden"] == 1024
    assert read({"rnn_num_hidden": "256"})["rnn_attention_num_hidden"] == 256
    assert read({"rnn_attention_num_hidden": "7"})["rnn_attention_num_hidden"] == 7


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        (
            "xgboost",
            {**XGBOOST, "objective": "multi:softmax"},
            "Hyperparameter num_class is missing, though required when objective is multi:* "
            "(Require input for parameter 'num_class' for multi-classification)",
        ),
        (
            "xgboost",
            {**XGBOOST, "num_class": "3"},
            "num_class may be set only when objective is multi:*, "
            "but objective is reg:squarederror.",
        ),
        (
            "xgboost",
            {**XGBOOST, "eval_metric": "rmse,auc"},
            "Metric 'auc' can only be applied for classification and ranking problems.",
        ),
        (
            "xgboost",
            {**XGBOOST, "monotone_constraints": "(0,1)"},
            "may be set only when tree_method is exact or hist, but tree_method is auto.",
        ),
        (
            "linear-learner",
            {"predictor_type": "multiclass_classifier"},
            "num_classes is missing, though required when predictor_type is multiclass_classifier",
        ),
        (
            "linear-learner",
            {"predictor_type": "binary_classifier", "loss": "squared_loss"},
            "when predictor_type is binary_classifier it must be auto, logistic or hinge_loss.",
        ),
        (
            "knn",
            {
                "feature_dim": "8",
                "k": "3",
                "predictor_type": "classifier",
                "sample_size": "100",
                "dimension_reduction_type": "sign",
                "dimension_reduction_target": "8",
            },
            "dimension_reduction_target must be < feature_dim.",
        ),
        (
            "knn",
            {"dimension_reduction_type": "sign"},
            "dimension_reduction_target is missing, though required when "
            "dimension_reduction_type is sign or fjlt",
        ),
        (
            "knn",
            {"index_type": "faiss.IVFPQ", "index_metric": "COSINE"},
            "index_metric is COSINE; when index_type is faiss.IVFPQ it must be L2.",
        ),
        (
            "pca",
            {"feature_dim": 4, "mini_batch_size": 10, "num_components": 5},
            "num_components is 5 and feature_dim is 4; num_components must be <= feature_dim.",
        ),
        (
            "ipinsights",
            {"random_negative_sampling_rate": "0", "shuffled_negative_sampling_rate": "0"},
            "the sum must be from 1 to 500.",
        ),
        ("blazingtext", {"mode": "cbow", "min_char": "7"}, "max_char must be >= min_char."),
        ("seq2seq", {"momentum": "0.9"}, "momentum may be set only when optimizer_type is sgd"),
        (
            "semantic-segmentation",
            {"lr_scheduler": "step"},
            "lr_scheduler_step is missing, though required when lr_scheduler is step",
        ),
        (
            "object2vec",
            {"enc1_network": "bilstm"},
            "enc1_vocab_size is missing, though required when enc1_network is hcnn, bilstm or",
        ),
        (
            "image-classification",
            {"use_pretrained_model": "1", "image_shape": "3,32,32"},
            "image_shape is 3,32,32; when use_pretrained_model is 1 it must be 3,224,224.",
        ),
        ("image-classification", {"resize": "224"}, "resize must be > image_shape."),
        (
            "image-classification",
            {"use_weighted_loss": "1"},
            "use_weighted_loss may be set only when multi_label is 1, but multi_label is 0.",
        ),
        ("randomcutforest", {"mini_batch_size": "500"}, "it must be an integer of 1000."),
    ],
)
def test_hyperparameters_that_do_not_go_together_are_refused(
    name: str, values: dict[str, Any], sentence: str
) -> None:
    assert any(sentence in problem for problem in problems(name, values))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("xgboost", {**XGBOOST, "objective": "multi:softprob", "num_class": "10"}),
        ("xgboost", {**XGBOOST, "objective": "binary:logistic", "eval_metric": "auc,error"}),
        ("xgboost", {**XGBOOST, "objective": "rank:ndcg", "eval_metric": "ndcg@10,map@5-"}),
        ("linear-learner", {**LINEAR, "loss": "huber_loss", "num_classes": "3"}),
        ("linear-learner", {**LINEAR, "positive_example_weight_mult": "balanced"}),
        ("kmeans", {**KMEANS, "force_dense": "True", "extra_center_factor": "auto"}),
        ("randomcutforest", {"feature_dim": "4", "mini_batch_size": "1000"}),
        ("seq2seq", {"momentum": "0.9", "optimizer_type": "sgd"}),
        (
            "deepar",
            {
                "context_length": "5",
                "epochs": "1",
                "prediction_length": "5",
                "time_freq": "D",
                "cardinality": "",
                "likelihood": "student-t",
                "early_stopping_patience": "",
            },
        ),
    ],
)
def test_what_the_containers_and_the_sdk_are_known_to_send_passes(
    name: str, values: dict[str, Any]
) -> None:
    algorithm(name).check(values)


def test_a_rule_is_not_judged_on_a_value_that_is_wrong_itself() -> None:
    assert len(problems("xgboost", {**XGBOOST, "objective": "multi:softmx", "num_class": "3"})) == 1


def test_text_for_a_job_is_what_the_container_takes() -> None:
    assert algorithm("ntm").encode(
        {**NTM, "num_topics": 20.0, "batch_norm": True, "encoder_layers": [60, 40]}
    ) == {
        "feature_dim": "2000",
        "num_topics": "20",
        "batch_norm": "true",
        "encoder_layers": "60,40",
    }
    written = algorithm("xgboost").encode(
        {
            "num_round": 5,
            "learning_rate": 0.1,
            "monotone_constraints": [0, 1],
            "tree_method": "hist",
        }
    )
    assert written["monotone_constraints"] == "(0, 1)"
    assert written["learning_rate"] == "0.1"
    assert (
        algorithm("kmeans").encode({**KMEANS, "eval_metrics": ["msd"]})["eval_metrics"] == '["msd"]'
    )


def test_booleans_are_spelt_as_the_container_spells_them() -> None:
    assert algorithm("blazingtext").encode({"mode": "cbow", "evaluation": False}) == {
        "mode": "cbow",
        "evaluation": "False",
    }
    assert (
        algorithm("linear-learner").encode({**LINEAR, "use_bias": "False"})["use_bias"] == "false"
    )


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=8))
def test_no_text_breaks_the_check(values: dict[str, str]) -> None:
    for name in ("xgboost", "deepar"):
        try:
            algorithm(name).check(values)
        except HyperparameterError as error:
            assert error.problems


ANYTHING = st.one_of(
    st.text(max_size=30),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.recursive(st.integers() | st.text(max_size=5), st.lists, max_leaves=5),
)


@given(st.data())
def test_a_value_is_read_again_from_its_text(data: st.DataObject) -> None:
    entry = algorithm(data.draw(st.sampled_from(names())))
    spec = data.draw(st.sampled_from(entry.hyperparameters))
    value = data.draw(ANYTHING)
    try:
        typed = spec.read(value)
    except ValueError as error:
        assert "must be" in str(error)
        return
    assert spec.read(typed) == typed
    # An empty list has no text of its own.
    if typed != []:
        assert spec.read(spec.write(typed)) == typed


@given(st.floats(allow_nan=False))
def test_a_number_is_taken_exactly_inside_its_range(number: float) -> None:
    entry = algorithm("xgboost")
    if 0 < number <= 1:
        assert entry.parse({**XGBOOST, "subsample": repr(number)})["subsample"] == number
    else:
        assert len(problems("xgboost", {**XGBOOST, "subsample": repr(number)})) == 1
