import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import algorithms.catalog
from algorithms.catalog import Algorithm, HyperparameterError, UnknownAlgorithm, algorithm, names
from algorithms.catalog.errors import CatalogFileError
from algorithms.catalog.files import read

FOLDER = Path(algorithms.catalog.__file__).parent

# The least that each algorithm can be started with, every value as text.
MINIMAL: dict[str, dict[str, str]] = {
    "blazingtext": {"mode": "skipgram"},
    "deepar": {
        "context_length": "24",
        "epochs": "10",
        "prediction_length": "24",
        "time_freq": "H",
    },
    "factorization-machines": {
        "feature_dim": "10000",
        "num_factors": "64",
        "predictor_type": "regressor",
    },
    "image-classification": {"num_classes": "10", "num_training_samples": "1000"},
    "ipinsights": {"num_entity_vectors": "20000", "vector_dim": "128"},
    "kmeans": {"feature_dim": "64", "k": "10"},
    "knn": {
        "feature_dim": "64",
        "k": "5",
        "predictor_type": "classifier",
        "sample_size": "1000",
    },
    "lda": {"num_topics": "10", "feature_dim": "2000", "mini_batch_size": "500"},
    "linear-learner": {"predictor_type": "regressor"},
    "ntm": {"feature_dim": "2000", "num_topics": "20"},
    "object-detection": {"num_classes": "20", "num_training_samples": "1000"},
    "object2vec": {"enc0_max_seq_len": "50", "enc0_vocab_size": "9000"},
    "pca": {"feature_dim": "64", "mini_batch_size": "200", "num_components": "8"},
    "randomcutforest": {"feature_dim": "4"},
    "semantic-segmentation": {"num_classes": "21", "num_training_samples": "1000"},
    "seq2seq": {},
    "xgboost": {"num_round": "50"},
}

every_entry = pytest.mark.parametrize("name", names())


def test_all_seventeen_built_in_algorithms_are_there() -> None:
    assert set(names()) == set(MINIMAL)
    assert len(names()) == 17


@every_entry
def test_every_entry_is_complete(name: str) -> None:
    entry = algorithm(name)
    assert entry.name == name
    assert entry.title
    assert entry.summary
    assert "File" in entry.input_modes
    assert any(channel.required is True for channel in entry.channels)
    assert entry.instances.training.cpu or entry.instances.training.gpu_families
    assert entry.inference is not None
    for example in entry.inference.examples:
        media = example.content_type.partition(";")[0]
        assert media in entry.inference.content_types
        assert example.accept.partition(";")[0] in entry.inference.accepts
    for spec in entry.hyperparameters:
        assert spec.description.endswith("."), spec.name
        assert len(spec.description) <= 110, spec.name


@every_entry
def test_every_metric_has_an_expression_that_finds_one_number(name: str) -> None:
    entry = algorithm(name)
    assert len(entry.metrics) <= 40, "CreateTrainingJob takes no more"
    for metric in entry.metrics:
        assert re.compile(metric.regex).groups == 1, metric.name
        assert metric.direction or not metric.objective, metric.name


@every_entry
def test_every_key_of_a_file_is_there_once(name: str) -> None:
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: Strict, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{name}.yaml line {node.start_mark.line + 1}"
        return loader.construct_mapping(node, deep=True)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    yaml.load((FOLDER / f"{name}.yaml").read_text(), Loader=Strict)


@every_entry
def test_defaults_with_the_least_that_is_required_pass(name: str) -> None:
    entry = algorithm(name)
    filled = entry.parse(MINIMAL[name])
    assert filled.keys() >= MINIMAL[name].keys()
    assert entry.parse(filled) == filled, "typed values read as well as text does"
    assert entry.parse(entry.encode(filled)) == filled, "and so does their text"


@every_entry
def test_without_what_is_required_each_missing_name_is_said(name: str) -> None:
    entry = algorithm(name)
    if not MINIMAL[name]:
        entry.check({})
        return
    with pytest.raises(HyperparameterError) as caught:
        entry.check({})
    for required in MINIMAL[name]:
        assert any(f"Hyperparameter {required} is missing" in p for p in caught.value.problems)


# Where AWS's own tables disagree: it searches from 0, which it does not allow.
DISAGREEING = {("object-detection", "momentum"), ("object-detection", "weight_decay")}


@every_entry
def test_tuning_searches_only_what_is_allowed(name: str) -> None:
    for spec in algorithm(name).hyperparameters:
        if spec.tuning is None:
            continue
        if (name, spec.name) in DISAGREEING:
            with pytest.raises(ValueError, match="above 0"):
                spec.read(spec.tuning.min)
            assert spec.note is not None
            continue
        for end in spec.tuning.values or (spec.tuning.min, spec.tuning.max):
            spec.read(end)


def test_loading_one_algorithm_reads_its_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def reading(path: Path, model: type[Algorithm]) -> Algorithm:
        seen.append(path.name)
        return read(path, model)

    monkeypatch.setattr(algorithms.catalog, "read", reading)
    algorithm.cache_clear()
    algorithm("kmeans")
    algorithm("kmeans")
    assert seen == ["kmeans.yaml"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("xgbost", "xgboost"), ("k-means", "kmeans"), ("linear_learner", "linear-learner")],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownAlgorithm) as caught:
        algorithm(name)
    assert caught.value.nearest[0] == nearest
    assert f"There is no built-in algorithm {name!r}" in str(caught.value)


def test_a_name_that_is_like_none_lists_all() -> None:
    with pytest.raises(UnknownAlgorithm) as caught:
        algorithm("../registries")
    assert caught.value.nearest == ()
    assert all(name in str(caught.value) for name in names())


@pytest.mark.parametrize(
    ("right", "wrong", "key"),
    [
        ("  range: {min: 1}", "  rnage: {min: 1}", "hyperparameters.feature_dim.rnage"),
        ("{min: 1}", "{mim: 1}", "hyperparameters.feature_dim.range.mim"),
        ("checkpoints: false", "checkpoint: false", "checkpoint"),
        ("  default: 5000", "  default: 0", "hyperparameters.mini_batch_size"),
        ("  type: integer", "  type: whole", "hyperparameters.feature_dim.type"),
        ("- name: k\n", "- name: epochs\n", "the whole file"),
    ],
)
def test_a_mistake_in_a_file_names_file_and_key(
    tmp_path: Path, right: str, wrong: str, key: str
) -> None:
    text = (FOLDER / "kmeans.yaml").read_text()
    assert right in text
    broken = tmp_path / "kmeans.yaml"
    broken.write_text(text.replace(right, wrong, 1))
    with pytest.raises(CatalogFileError) as caught:
        read(broken, Algorithm)
    assert any(problem.startswith(f"kmeans.yaml: {key}: ") for problem in caught.value.problems)


def test_a_rule_about_a_hyperparameter_that_is_not_there_is_refused(tmp_path: Path) -> None:
    text = (FOLDER / "pca.yaml").read_text()
    broken = tmp_path / "pca.yaml"
    broken.write_text(text.replace("right: feature_dim", "right: feature_dims"))
    with pytest.raises(CatalogFileError, match=r"names no hyperparameter: feature_dims"):
        read(broken, Algorithm)


def test_a_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "kmeans.yaml"
    broken.write_text("name: [")
    with pytest.raises(CatalogFileError, match=r"kmeans\.yaml: not YAML"):
        read(broken, Algorithm)


def test_a_file_that_holds_another_algorithm_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pca.yaml").write_text((FOLDER / "kmeans.yaml").read_text())
    monkeypatch.setattr(algorithms.catalog, "_FOLDER", tmp_path)
    algorithm.cache_clear()
    with pytest.raises(CatalogFileError, match=r"pca\.yaml: name: is 'kmeans'"):
        algorithm("pca")
    algorithm.cache_clear()


def test_xgboost_metrics_are_found_with_a_tab_and_with_its_escape() -> None:
    metric = {one.name: one for one in algorithm("xgboost").metrics}["validation:merror"]
    for tab in ("\t", "#011"):
        line = f"[12]{tab}train-merror:0.01{tab}validation-merror:0.0457"
        found = re.search(metric.regex, line)
        assert found is not None
        assert found[1] == "0.0457"


@pytest.mark.parametrize(
    ("name", "metric", "line", "value"),
    [
        (
            "kmeans",
            "test:msd",
            "[11/24/2026 10:00:00 INFO 1] #quality_metric: host=algo-1, test msd <loss>=612.5",
            "612.5",
        ),
        (
            "object-detection",
            "validation:mAP",
            "#quality_metric: host=algo-1, epoch=0, validation mAP <score>=(0.909)",
            "0.909",
        ),
        ("blazingtext", "train:mean_rho", "#mean_rho: 0.7001", "0.7001"),
        (
            "image-classification",
            "validation:accuracy",
            "Epoch[0] Validation-accuracy=0.771429",
            "0.771429",
        ),
    ],
)
def test_published_log_lines_give_their_metric(
    name: str, metric: str, line: str, value: str
) -> None:
    regex = {one.name: one.regex for one in algorithm(name).metrics}[metric]
    found = re.search(regex, line)
    assert found is not None
    assert found[1] == value


def test_the_catalogue_brings_nothing_heavy_with_it() -> None:
    code = "import algorithms.catalog as c, sys; c.algorithm('xgboost'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "boto3", "botocore", "aws_cdk", "xgboost"}.isdisjoint(done.stdout.split())
