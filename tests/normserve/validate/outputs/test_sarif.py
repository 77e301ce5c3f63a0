import json
from urllib.parse import unquote

from normserve.validate import Examined
from normserve.validate.document import Where
from normserve.validate.outputs import to_sarif
from tests.normserve.validate.outputs.hostile import CONTROLS, FOUND, NAME, hostile, passed, report


def the_run(given):
    log = json.loads(to_sarif(given))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    return run


def test_results_are_what_somebody_has_to_look_at():
    (result,) = the_run(hostile())["results"]
    assert result["level"] == "error"
    assert result["ruleId"] == "batch-invariance"
    assert result["message"]["text"].startswith(f"{NAME}: {FOUND.meaning} (measured inf")
    (location,) = result["locations"]
    physical = location["physicalLocation"]
    assert unquote(physical["artifactLocation"]["uri"]) == f"models/{NAME}.onnx"
    assert physical["artifactLocation"]["uri"].isascii()
    assert physical["region"] == {"startLine": 1}


def test_a_rule_is_what_its_check_asks_and_where_that_is_explained():
    run = the_run(hostile())
    (rule,) = run["tool"]["driver"]["rules"]
    assert run["results"][0]["ruleIndex"] == 0
    assert rule["id"] == "batch-invariance"
    assert rule["shortDescription"]["text"].startswith("Does a row's answer depend on")
    assert "docs/checks/batch-invariance.md" in rule["help"]["text"]


def test_a_target_that_could_not_be_examined_is_a_notification():
    (invocation,) = the_run(hostile())["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 2
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"] == f"{NAME}{CONTROLS}: {NAME}{CONTROLS}"


def test_a_warning_has_its_level_and_an_allowed_failure_is_suppressed():
    warning = FOUND.model_copy(update={"status": "warn"})
    allowed = FOUND.model_copy(update={"allowed": True, "established": "export"})
    run = the_run(report(Examined(target="x", findings=(warning, allowed, passed()))))
    levels = [result["level"] for result in run["results"]]
    assert levels == ["warning", "error"]
    assert [len(result.get("suppressions", ())) for result in run["results"]] == [0, 1]
    assert run["invocations"][0]["executionSuccessful"] is True


def test_results_are_told_apart_from_run_to_run():
    one, two = (Examined(target=name, findings=(FOUND, FOUND)) for name in "ab")

    def fingerprints():
        results = the_run(report(one, two))["results"]
        return [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]

    assert len(set(fingerprints())) == 4
    assert fingerprints() == fingerprints()


def test_a_file_elsewhere_has_a_whole_address():
    target = Examined(target="x", where=Where(path="/a b/model.onnx"), findings=(FOUND,))
    (result,) = the_run(report(target))["results"]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact == {"uri": "file:///a%20b/model.onnx"}
