"""The contract: what a served model is on disk, how it is opened, how two results are compared.

Knows neither torch nor the web; `exporters` writes bundles, `service` reads them.
"""

from bundle.comparison import EXACT, OutputComparison, Tolerance, compare, derive_tolerance
from bundle.errors import (
    BundleError,
    BundleExists,
    DigestMismatch,
    InputInvalid,
    ManifestInvalid,
    ModelInvalid,
    PlacementRefused,
    ProviderUnavailable,
    RunFailed,
    RunInterrupted,
    SamplesInvalid,
    UnsupportedDatatype,
)
from bundle.golden import Sample, read_samples, replay
from bundle.interrupt import Interrupt
from bundle.lowering import lower_normalizations
from bundle.manifest import (
    DimensionRange,
    Fate,
    Finding,
    InputStatistics,
    Manifest,
    NormLayer,
    NormStatistics,
    Provenance,
)
from bundle.model import OpenModel
from bundle.opener import open_model
from bundle.placement import NodePlacement, Placement
from bundle.policy import ProviderPolicy
from bundle.providers import Provider, resolve
from bundle.store import (
    MANIFEST,
    MODEL,
    Bundle,
    VersionFolder,
    find_versions,
    is_version,
    model_versions,
    put_in_place,
    read_bundle,
    write_bundle,
)
from bundle.tensors import UNNAMED, Datatype, TensorSpec
from bundle.tuning import AS_IT_COMES, GraphLevel, SessionTuning

__all__ = [
    "AS_IT_COMES",
    "EXACT",
    "MANIFEST",
    "MODEL",
    "UNNAMED",
    "Bundle",
    "BundleError",
    "BundleExists",
    "Datatype",
    "DigestMismatch",
    "DimensionRange",
    "Fate",
    "Finding",
    "GraphLevel",
    "InputInvalid",
    "InputStatistics",
    "Interrupt",
    "Manifest",
    "ManifestInvalid",
    "ModelInvalid",
    "NodePlacement",
    "NormLayer",
    "NormStatistics",
    "OpenModel",
    "OutputComparison",
    "Placement",
    "PlacementRefused",
    "Provenance",
    "Provider",
    "ProviderPolicy",
    "ProviderUnavailable",
    "RunFailed",
    "RunInterrupted",
    "Sample",
    "SamplesInvalid",
    "SessionTuning",
    "TensorSpec",
    "Tolerance",
    "UnsupportedDatatype",
    "VersionFolder",
    "compare",
    "derive_tolerance",
    "find_versions",
    "is_version",
    "lower_normalizations",
    "model_versions",
    "open_model",
    "put_in_place",
    "read_bundle",
    "read_samples",
    "replay",
    "resolve",
    "write_bundle",
]
