"""Scripts of one's own: what AWS's images of scikit-learn, XGBoost and PyTorch do with them.

Each runs by AWS's contract for scripts ("script mode"): a training script as a process of its own,
with hyperparameters as arguments and SM_ variables; a serving script by its functions model_fn,
input_fn, predict_fn, output_fn or transform_fn.
"""

from algorithms.catalog.frameworks import FRAMEWORKS, Framework

# Who starts a process for scripts says in this variable which framework's image it stands for.
VARIABLE = "SCRIPT_FRAMEWORK"


def framework(name: str) -> Framework:
    """The framework of a name.

    Raises:
        KeyError: There is none of this name.
    """
    return {one.name: one for one in FRAMEWORKS}[name]
