"""Whatever the OpenAPI document allows, and what it does not, is answered as the document says.

Schemathesis makes the requests; the app is asked in this process, over a real Postgres.
"""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.outreach_api.in_process import URL, Api

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = settings(
    max_examples=100,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
    derandomize=True,
)
"""Of each operation, half of them as the document allows."""


@pytest.mark.slow
def test_every_operation_answers_as_it_is_documented(api: Api) -> None:
    document = api.ask("GET", "/openapi.json", None).json()
    real = api.task()["id"]
    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        cases = st.one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

        @EXAMPLES
        @given(case=cases, is_real=st.booleans())
        def ask(case: Case, is_real: bool) -> None:  # noqa: FBT001
            if is_real and "task_id" in case.path_parameters:
                case.path_parameters["task_id"] = real
            case.validate_response(asked(api, case), checks=CHECKS)

        ask()


def asked(api: Api, case: Case) -> httpx.Response:
    words = case.as_transport_kwargs(base_url=URL)
    said = {name.lower(): value for name, value in words["headers"].items()}
    # As bytes: a header is Latin-1 on the wire, and httpx sends texts of ASCII alone.
    headers = {n: v.encode("latin-1") for n, v in {**said, **api.bearer("ops")}.items()}
    more = {name: words[name] for name in ("params", "json") if name in words}
    if "data" in words:
        more["content"] = words["data"]
    try:
        return api.ask(words["method"], words["url"], None, headers=headers, **more)
    except httpx.InvalidURL:  # the client's own limit: such a request never leaves it
        reject()


@pytest.fixture(autouse=True)
def _short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outreach_api.event_routes.LOOKS", 1)
    monkeypatch.setattr("outreach_api.event_routes.LOOK_EVERY_SECONDS", 0)
