"""``docs/metrics.md`` and ``deploy/monitoring`` name the metrics that there are."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.consistency import Against
from service.consistency.live import Difference
from service.metrics import Traffic, metrics_of
from service.registry import Registry
from tests.service import tiny
from tests.service.metrics.fakes import Engine
from tests.service.metrics.scraping import serve

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "monitoring"


@pytest.fixture(scope="module")
def page():
    """Everything that a service can tell, with at least one sample of each."""
    registry, traffic = Registry(), Traffic()
    model = serve(registry, "m", engine=Engine(os.getpid()))
    difference = Difference(output="y", against=Against.SOLO, error=0.0, tolerance=1.0, reason="")
    model.consistency.live.add([difference])
    traffic.count_http("GET", "/v2", 200)
    traffic.count_grpc("ModelInfer", "OK")
    return generate_latest(metrics_of(registry, traffic, budget=tiny.BUDGET)).decode()


def documented():
    rows = re.findall(
        r"^\| `(\w+)` \| ([\w, ]*)\|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    return {name: {label for label in labels.strip().split(", ") if label} for name, labels in rows}


def test_every_metric_is_documented_and_every_documented_one_is_there(page):
    assert set(documented()) == set(re.findall(r"^# HELP (\w+)", page, re.MULTILINE))


def test_the_labels_are_the_documented_ones(page):
    wanted = documented()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            name = next(
                n for n in (sample.name, family.name, f"{family.name}_total") if n in wanted
            )
            assert set(sample.labels) - {"le"} == wanted[name], sample


def expressions():
    rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    for group in rules["groups"]:
        yield from ((rule["alert"], rule["expr"]) for rule in group["rules"])
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])


def test_alerts_and_dashboard_ask_for_metrics_that_there_are(page):
    sampled = set(re.findall(r"^(\w+)[{ ]", page, re.MULTILINE))
    for title, expression in expressions():
        bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)", "", expression)
        asked = set(re.findall(r"[a-z]\w*_\w+", bare)) - {"histogram_quantile"}
        assert asked or "up" in bare, title
        assert asked <= sampled, title


def test_what_scrapes_knows_the_alerts():
    scraping = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    assert all((MONITORING / name).is_file() for name in scraping["rule_files"])
