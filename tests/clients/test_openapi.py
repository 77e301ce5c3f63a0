"""Requests that schemathesis makes up from the OpenAPI document, good ones and bad ones.

Each is answered below 500, with a status that the document has for it, and with the content type,
the headers and the body that it has for that.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.generation import GenerationMode

from service.http import create_app
from service.settings import Settings
from tests.clients.process import served

OPERATIONS = {
    operation.label: operation
    for found in schemathesis.openapi.from_dict(
        create_app(Settings()).openapi()
    ).get_all_operations()
    for operation in [found.ok()]
}
CONFORMANCE = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
MODELS = ["identity-fp32", "identity-bytes", "add", "poet", "versions", "nobody"]
PARAMETERS = st.fixed_dictionaries(
    {"model": st.sampled_from(MODELS), "version": st.sampled_from(["1", "2", "9"])}
)


@pytest.fixture(scope="module")
def url(repository):
    """A server of its own, because these requests also load, unload and set."""
    with served(repository) as running:
        yield running.url


def requests(operation):
    named = {parameter.name for parameter in operation.path_parameters}
    for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
        yield operation.as_strategy(mode)
        if "model" in named:
            yield PARAMETERS.flatmap(
                lambda given_, mode=mode: operation.as_strategy(
                    mode, path_parameters={k: v for k, v in given_.items() if k in named}
                )
            )


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_is_one_that_the_document_has(url, label):
    operation = OPERATIONS[label]

    @given(case=st.one_of(*requests(operation)))
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        answer = case.call(base_url=url, timeout=30)
        assert str(answer.status_code) in operation.definition.raw["responses"], answer.text
        case.validate_response(answer, checks=CONFORMANCE)

    ask()
