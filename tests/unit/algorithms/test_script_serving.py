"""Serving scripts behind the model server, by the contract of AWS's containers."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xgboost
from scipy.sparse import csr_matrix, save_npz

from algorithms.scripts import formats
from algorithms.scripts.serving import Endpoint, Script
from algorithms.toolkit.errors import AlgorithmError
from algorithms.toolkit.formats import recordio
from algorithms.toolkit.formats.table import Table
from algorithms.toolkit.invocations import Refusal

# The sum of a row, in the kind of the request's array, so that a test sees both.
SUMS = """
class Sums:
    def predict(self, data):
        return data.sum(axis=1)

def model_fn(model_dir):
    return Sums()
"""
ROWS = np.array([[1.5, 2.0], [3.0, 4.0]])
Deploy = Callable[..., Endpoint]


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """A script as an endpoint, in a folder as the platform lays it out."""

    def made(
        source: str, framework: str = "scikit-learn", program: str = "", **variables: str
    ) -> Endpoint:
        code = tmp_path / "model" / "code"
        code.mkdir(parents=True)
        # A module is imported once in a process: each test has another name for it.
        program = program or f"script_{tmp_path.name}.py"
        (code / program).write_text(source)
        monkeypatch.setenv("SAGEMAKER_SUBMIT_DIRECTORY", "/opt/ml/model/code")
        monkeypatch.setenv("SAGEMAKER_PROGRAM", program)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.path", [*__import__("sys").path])
        return Script(framework, tmp_path).load()

    return made


def npy(array: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_arrays_are_read_and_written_in_every_format_of_the_toolkit(deploy: Deploy) -> None:
    endpoint = deploy(SUMS)
    for kind, body in {
        "application/json": json.dumps(ROWS.tolist()).encode(),
        "text/csv": b"1.5,2.0\n3,4\n",
        "application/x-npy": npy(ROWS),
    }.items():
        assert endpoint.invoke(body, kind, None) == (200, "application/json", b"[3.5, 7.0]")
    assert endpoint.invoke(npy(ROWS), "application/x-npy", "text/csv") == (
        *(200, "text/csv"),
        b"3.5\n7.0\n",
    )
    status, kind, answer = endpoint.invoke(npy(ROWS), "application/x-npy", "application/x-npy")
    assert (status, kind) == (200, "application/x-npy")
    assert np.load(io.BytesIO(answer)).tolist() == [3.5, 7.0]


def test_a_sparse_matrix_is_read(deploy: Deploy) -> None:
    endpoint = deploy(
        SUMS + "\ndef predict_fn(data, model):\n    return data.toarray().sum(axis=1)"
    )
    buffer = io.BytesIO()
    save_npz(buffer, csr_matrix(ROWS))
    assert endpoint.invoke(buffer.getvalue(), "application/x-npz", None)[2] == b"[3.5, 7.0]"


def test_no_request_brings_code_in_an_array(deploy: Deploy) -> None:
    endpoint = deploy(SUMS)
    buffer = io.BytesIO()
    np.save(buffer, np.array([object()]), allow_pickle=True)
    with pytest.raises(Refusal, match="allow_pickle=False") as caught:
        endpoint.invoke(buffer.getvalue(), "application/x-npy", None)
    assert caught.value.status == 500


def test_a_request_without_a_content_type_is_json_and_any_answer_is_json(deploy: Deploy) -> None:
    assert deploy(SUMS).invoke(b"[[1, 2]]", None, "*/*") == (200, "application/json", b"[3.0]")


def test_the_answer_that_is_meant_where_none_is_named_can_be_set(deploy: Deploy) -> None:
    endpoint = deploy(SUMS, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv")
    assert endpoint.invoke(b"[[1, 2]]", None, None) == (200, "text/csv", b"3.0\n")


@pytest.mark.parametrize(
    ("kind", "accept", "status"),
    [("text/plain", None, 415), ("application/json", "image/png", 406)],
    ids=["request", "answer"],
)
def test_a_format_that_only_a_script_would_know_is_refused(
    deploy: Deploy, kind: str, accept: str | None, status: int
) -> None:
    with pytest.raises(Refusal) as caught:
        deploy(SUMS).invoke(b"[[1, 2]]", kind, accept)
    assert caught.value.status == status
    assert json.loads(str(caught.value))["error"] == "UnsupportedFormatError"


def test_each_function_of_a_script_is_called_in_the_place_of_the_default(deploy: Deploy) -> None:
    endpoint = deploy("""
def model_fn(model_dir):
    return model_dir.rpartition("/")[2]

def input_fn(input_data, content_type):
    return type(input_data).__name__ + " of " + content_type

def predict_fn(data, model):
    return data + " by " + model

def output_fn(prediction, accept):
    return prediction + " as " + accept, "text/plain"
""")
    assert endpoint.invoke(b"x", "text/csv", "a/b") == (
        *(200, "text/plain"),
        b"str of text/csv by model as a/b",
    )
    assert endpoint.invoke(b"x", "image/png", "a/b")[2].startswith(b"bytes of image/png")


def test_transform_fn_does_it_all_and_stands_alone(deploy: Deploy) -> None:
    source = """
def model_fn(model_dir):
    return 1

def transform_fn(model, data, content_type, accept):
    return bytes([model]), accept
"""
    assert deploy(source).invoke(b"", "a/b", "c/d") == (200, "c/d", b"\x01")


def test_transform_fn_beside_another_function_is_refused(deploy: Deploy) -> None:
    source = SUMS + "\ndef transform_fn(a, b, c, d): pass\ndef input_fn(a, b): pass\n"
    with pytest.raises(AlgorithmError, match="Cannot use transform_fn implementation with"):
        deploy(source)


def test_a_function_may_ask_for_the_context(deploy: Deploy) -> None:
    source = (
        SUMS
        + """
def predict_fn(data, model, context):
    return context.system_properties["model_dir"].rpartition("/")[2]
"""
    )
    assert deploy(source).invoke(b"[[1]]", None, None)[2] == b'"model"'


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("x = 1", "NotImplementedError: Please provide a model_fn implementation."),
        ("def model_fn(model_dir):\n    open('/no/such')", "FileNotFoundError"),
        ("def model_fn():\n    pass", "TypeError: model_fn takes 0 arguments but 1 were given."),
    ],
    ids=["import", "without", "raises", "arguments"],
)
def test_a_script_that_cannot_load_says_why(deploy: Deploy, source: str, reason: str) -> None:
    with pytest.raises(AlgorithmError, match=reason):
        deploy(source)


def test_a_script_that_fails_on_a_request_says_why(deploy: Deploy) -> None:
    endpoint = deploy(SUMS + "\ndef input_fn(a, b):\n    raise KeyError('rows')")
    with pytest.raises(Refusal, match="KeyError: 'rows'") as caught:
        endpoint.invoke(b"", None, None)
    assert caught.value.status == 500


def test_an_answer_that_is_no_text_is_refused(deploy: Deploy) -> None:
    endpoint = deploy(SUMS + "\ndef output_fn(a, b):\n    return 5")
    with pytest.raises(Refusal, match="answers with int: give text or bytes"):
        endpoint.invoke(b"[[1]]", None, None)


def test_xgboost_gets_a_matrix_of_csv_libsvm_and_recordio(deploy: Deploy) -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(50, 2)).astype(np.float32)
    model = xgboost.train({}, xgboost.DMatrix(points, label=points.sum(axis=1)), 5)
    source = f"""
import xgboost

def model_fn(model_dir):
    return xgboost.Booster(model_file=bytearray({bytes(model.save_raw())!r}))
"""
    endpoint = deploy(source, "xgboost")
    expected = model.predict(xgboost.DMatrix(ROWS)).tolist()
    for kind, body in {
        "text/csv": b"1.5,2.0\n3.0,4.0",
        "text/csv; charset=utf-8": b"1.5,2.0\n3.0,4.0",
        "text/libsvm": b"0:1.5 1:2\n0:3 1:4\n",
        "application/x-recordio-protobuf": recordio.write(Table(ROWS.astype(np.float32))),
    }.items():
        answer = endpoint.invoke(body, kind, "application/json")[2]
        assert json.loads(answer) == pytest.approx(expected), kind
    with pytest.raises(Refusal) as caught:
        endpoint.invoke(b"[[1, 2]]", "application/json", None)
    assert caught.value.status == 415


def test_requirements_that_are_not_met_keep_a_server_from_starting(
    tmp_path: Path, deploy: Deploy
) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "requirements.txt").write_text("no-such-package")
    (tmp_path / "model" / "code").rename(tmp_path / "kept")
    with pytest.raises(AlgorithmError, match=r"asks for no-such-package \(not installed\)"):
        deploy(SUMS, program="a.py", SAGEMAKER_SUBMIT_DIRECTORY="/opt/ml/kept")


@pytest.mark.parametrize(
    ("body", "shape"),
    [("1,2\n3,4\n", (2, 2)), ("1;2\r\n3;4\r\n", (2, 2)), ("1.5\n2.5", (2, 1)), ("7", (1, 1))],
    ids=["comma", "semicolon", "column", "number"],
)
def test_rows_for_xgboost_may_end_in_a_line_break_and_have_one_column(
    body: str, shape: tuple[int, int]
) -> None:
    matrix = formats.decode_matrix(body, formats.CSV)
    assert (matrix.num_row(), matrix.num_col()) == shape
