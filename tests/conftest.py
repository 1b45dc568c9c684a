"""How a run of many workers shares the cores."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

# Any folder's tests may ask for the running platform.
pytest_plugins = ["tests.platform"]

# Workers share the cores: threads of numeric libraries would only spin for the others'.
# They read this when they are first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# moto would load thousands of machine images, which no test asks for, each time it begins anew.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")

# A busy machine may take any time for one example.
settings.register_profile("test", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))

# Files that take longest, the longest first: begun last, they would keep one worker busy
# while the others have nothing left. A file is one worker's (`--dist loadfile`). The first deploys
# the platform, for which others would wait: the next two do without it.
LONG = (
    "tests/local/test_demo.py",
    "tests/unit/algorithms/deep/test_object_detection.py",
    "tests/unit/algorithms/deep/test_semantic_segmentation.py",
    "tests/local/test_sdk_v3.py",
    "tests/local/test_sdk_v2.py",
    "tests/local/algorithms/deep/test_semantic_segmentation.py",
    "tests/local/kills/test_kills.py",
    "tests/local/test_least_privilege.py",
    "tests/local/algorithms/deep/test_object_detection.py",
    "tests/local/test_samples.py",
    "tests/local/algorithms/deep/test_deepar.py",
    "tests/local/test_cli.py",
    "tests/synth/test_synthesis.py",
    "tests/local/algorithms/test_factorization_machines.py",
    "tests/contract/emulator/test_state.py",
    "tests/local/algorithms/test_first_party.py",
    "tests/local/algorithms/deep/test_image_classification.py",
    "tests/local/algorithms/deep/test_seq2seq.py",
    "tests/local/algorithms/deep/test_first_party.py",
    "tests/local/algorithms/deep/test_ntm.py",
    "tests/local/test_notebooks.py",
)

# Files whose tests let things go wrong on the platform, and so have it to themselves. They come far
# from one another, each before the tests named here, which leave the platform alone.
APART = {
    "tests/local/test_job_faults.py": "tests/synth",
    "tests/local/test_quotas.py": "tests/unit/algorithms",
    "tests/local/test_requests.py": "tests/unit/algorithms/test_linear_learner.py",
    "tests/local/test_killed_function.py": "tests/unit/catalog",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; all others come by their paths, but for some."""
    named = {*LONG, *APART, *APART.values()}
    if missing := sorted(path for path in named if not (config.rootpath / path).exists()):
        raise pytest.UsageError(f"tests/conftest.py places what is not there: {', '.join(missing)}")
    ranks = {path: rank for rank, path in enumerate(LONG)}

    def place(item: pytest.Item) -> tuple[int, str, bool, str]:
        path = item.path.relative_to(config.rootpath).as_posix()
        # The whole of it: workers must agree on the order, and each collects in one of its own.
        return ranks.get(path, len(LONG)), APART.get(path, path), path not in APART, path

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each worker begins to collect in another folder, and finds the others' bytecode there.

    In a fresh clone all of them would otherwise rewrite the assertions of the same files at once.
    """
    report = yield
    worker: dict[str, str | int] = getattr(collector.config, "workerinput", {})
    if worker and isinstance(collector, pytest.Directory) and report.passed:
        number, of = int(str(worker["workerid"]).removeprefix("gw")), int(worker["workercount"])
        first = len(report.result) * number // of
        report.result = [*report.result[first:], *report.result[:first]]
    return report
