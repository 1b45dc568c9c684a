"""What jobs and endpoints need of the service that runs them."""

from dataclasses import dataclass

from local.confinement import Confinement
from local.sagemaker.arns import Arns
from local.sagemaker.limits import Limits
from local.sagemaker.ports import Aws
from local.sagemaker.programs import Programs
from local.sagemaker.quotas import Quotas


@dataclass(frozen=True)
class Surroundings:
    """The parts of the service that every run and every deployment is given."""

    aws: Aws
    arns: Arns
    programs: Programs
    limits: Limits
    quotas: Quotas
    confinement: Confinement
