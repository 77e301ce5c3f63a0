"""What models are loaded from: a folder, a remote store with a copy here, or a client's files.

::

    repository ── plan ──► what should be served of a model: `service.rollout` makes it so

Loads no model and knows no states.
"""

from service.repository.given import FILE, NOTHING_GIVEN, GivenModel, check_parameters
from service.repository.local import LocalRepository
from service.repository.opening import check_repository, open_repository
from service.repository.plan import ModelPlan, PlannedVersion, make_plan
from service.repository.policy import VersionPolicy
from service.repository.repository import Repository, Stamp
from service.repository.uploads import Uploads

__all__ = [
    "FILE",
    "NOTHING_GIVEN",
    "GivenModel",
    "LocalRepository",
    "ModelPlan",
    "PlannedVersion",
    "Repository",
    "Stamp",
    "Uploads",
    "VersionPolicy",
    "check_parameters",
    "check_repository",
    "make_plan",
    "open_repository",
]
