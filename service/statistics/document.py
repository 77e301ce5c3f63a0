"""Statistics as the protocol's extension writes them, for any transport. Counts nothing.

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_statistics.md.
"""

from typing import Any

from service.statistics.snapshot import Duration, Statistics

__all__ = ["statistics_document"]


def statistics_document(name: str, version: int, seen: Statistics) -> dict[str, Any]:
    """The ``ModelStatistics`` of one version, with the names and types of the extension.

    There is no response cache and no model that answers twice: those counts are 0 and the
    statistics of single responses are empty.
    """
    nothing = _duration(Duration())
    return {
        "name": name,
        "version": str(version),
        "last_inference": seen.last_inference_ms,
        "inference_count": seen.inference_count,
        "execution_count": seen.execution_count,
        "inference_stats": {
            "success": _duration(seen.success),
            "fail": _duration(seen.fail),
            "queue": _duration(seen.queue),
            "compute_input": _duration(seen.compute_input),
            "compute_infer": _duration(seen.compute_infer),
            "compute_output": _duration(seen.compute_output),
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": batch.batch_size,
                "compute_input": _duration(batch.compute_input),
                "compute_infer": _duration(batch.compute_infer),
                "compute_output": _duration(batch.compute_output),
            }
            for batch in seen.batches
        ],
        "memory_usage": [],
    }


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}
