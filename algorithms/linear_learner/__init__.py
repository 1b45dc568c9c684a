"""Linear Learner: many linear models side by side, of which the best on held-out data is kept.

The outline is AWS's: mini-batch gradient descent on normalised data, one model with the settings
that were given and the rest with settings close to these, the best chosen on the validation channel
(on the training data without one), and for two classes a threshold calibrated for the criterion.
What AWS does not publish is ours, and stands where it is decided: the values of `auto` in
`settings`, the penalties in `optimizers`, the scale of the losses in `data`.
"""

from algorithms.linear_learner.job import train
from algorithms.linear_learner.model import Model, load

__all__ = ["Model", "load", "train"]
