"""What the routes answer, for their documentation: an example of each. Serves nothing.

Those of inference stand beside its schemas in `service.http.openapi`.
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["example_of"]

_DURATION: Final = {"count": 4, "ns": 5_209_000}
_NONE: Final = {"count": 0, "ns": 0}
_COMPUTED: Final = {
    "compute_input": {"count": 4, "ns": 402_000},
    "compute_infer": {"count": 4, "ns": 3_911_000},
    "compute_output": {"count": 4, "ns": 377_000},
}
_REGION: Final = [{"name": "in", "key": "/in", "offset": 0, "byte_size": 64}]
_TRACES: Final = {
    "trace_level": ["TIMESTAMPS"],
    "trace_rate": "100",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
    "trace_mode": "opentelemetry",
}
_STATISTICS: Final = {
    "model_stats": [
        {
            "name": "resnet",
            "version": "1",
            "last_inference": 1_795_440_446_893,
            "inference_count": 8,
            "execution_count": 4,
            "inference_stats": {
                "success": _DURATION,
                "fail": _NONE,
                "queue": {"count": 4, "ns": 519_000},
                **_COMPUTED,
                "cache_hit": _NONE,
                "cache_miss": _NONE,
            },
            "response_stats": {},
            "batch_stats": [{"batch_size": 2, **_COMPUTED}],
            "memory_usage": [],
        }
    ]
}
_CONSISTENCY: Final = {
    "model_name": "resnet",
    "model_version": "1",
    "model_sha256": "2def09ae2a98419d2e332423a7ab118ef7ef0aa1f1353c2a66407262fbac7868",
    "state": "establishing",
    "reason": "it is being examined, or waits for that",
    "batching": {"allowed": False, "reason": "no certificate has been established", "rows": 1},
    "placement": {
        "provider": "CPUExecutionProvider",
        "nodes": {"CPUExecutionProvider": 20},
        "lowered": [],
        "passed_over": [],
    },
    "golden": {"samples": 3, "max_abs_error": 9.5e-7, "replayed": "2026-11-23T13:27:20Z"},
    "established": None,
    "exported": None,
    "live": {
        "fraction": 0.0,
        "compared": 0,
        "dropped": 0,
        "failed": 0,
        "failure": "",
        "outputs": [],
    },
}
_EXAMPLES: Final[Mapping[str, Any]] = {
    "/v2/health/live": {"live": True},
    "/v2/health/ready": {"ready": True},
    "/v2": {
        "name": "normserve",
        "version": "0.1.0",
        "extensions": ["binary_tensor_data", "classification", "model_repository", "statistics"],
    },
    "/v2/models/{model}": {
        "name": "resnet",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
        "properties": {
            "state": "READY",
            "version": "1",
            "verified": "true",
            "golden_samples": "3",
            "golden_max_abs_error": "9.54e-07",
            "inputs": "pixels: FP32 (batch, 1, 8, 8)",
            "outputs": "logits: FP32 (batch, 10)",
            "provider": "CPUExecutionProvider",
        },
    },
    "/v2/models/{model}/ready": {"name": "resnet", "ready": True},
    "/v2/models/{model}/config": {
        "name": "resnet",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": 0,
        "input": [{"name": "pixels", "data_type": "TYPE_FP32", "dims": [-1, 1, 8, 8]}],
        "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": [-1, 10]}],
    },
    "/v2/models/stats": _STATISTICS,
    "/v2/models/{model}/stats": _STATISTICS,
    "/v2/models/{model}/consistency": _CONSISTENCY,
    "/v2/models/{model}/generate_stream": 'data: {"model_name":"poet","model_version":"1",'
    '"text_output":"a dog barks"}\n\n',
    "/v2/repository/index": [
        {"name": "resnet", "version": "1", "state": "READY", "reason": ""},
        {
            "name": "unet",
            "version": "2",
            "state": "UNAVAILABLE",
            "reason": "the digest of 'model.onnx' is not that of the manifest",
        },
    ],
    "/v2/systemsharedmemory/status": _REGION,
    "/v2/systemsharedmemory/region/{region}/status": _REGION,
    "/v2/cudasharedmemory/status": [],
    "/v2/cudasharedmemory/region/{region}/status": [],
    "/v2/trace/setting": _TRACES,
    "/v2/models/{model}/trace/setting": _TRACES,
    "/v2/logging": {
        "log_file": "",
        "log_info": False,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 1,
        "log_format": "default",
    },
    "/metrics": "# HELP nv_inference_request_success Requests that were answered.\n"
    'nv_inference_request_success{model="resnet",version="1"} 4.0\n',
}


def example_of(path: str) -> Any:
    """What a route answers, whichever version it is asked for; None for those without one."""
    return _EXAMPLES.get(path.replace("/versions/{version}", ""))
