"""A registry with models that answer nothing, and what a scraper sees of it."""

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Traffic, metrics_of
from service.registry import Registry, ServedModel
from service.signature import Signature
from tests.service import tiny


class NoRunner(tiny.Runner):
    async def run(self, inputs, outputs, *, priority=0, timeout_us=0):
        raise NotImplementedError


def serve(registry: Registry, name: str, version: int = 1, **fields) -> ServedModel:
    usual = {
        "signature": Signature(inputs=(), outputs=()),
        "runner": NoRunner(),
        "consistency": tiny.consistency(name, version),
    }
    model = ServedModel(name=name, version=version, **(usual | fields))
    registry.begin_loading(name, version)
    registry.finish_loading(model)
    return model


def scrape(registry: Registry, traffic: Traffic | None = None) -> dict[tuple, float]:
    """Every sample by its name and the values of its labels, in the order of the labels' names."""
    text = generate_latest(metrics_of(registry, traffic or Traffic(), budget=tiny.BUDGET)).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found
