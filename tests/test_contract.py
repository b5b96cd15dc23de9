"""The engine server against its own description, and against what it was never meant to get.

More of both: `schemathesis run http://127.0.0.1:2020/openapi.json` beside a running engine, and
`python benchmarks/fuzz.py --cases 100000`.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dreamscope.engine.server.routes.openapi import document

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
CASES = 5000


@pytest.fixture(scope="module")
def instant() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("instant")


@pytest.fixture(scope="module")
def described(instant: ModuleType) -> Iterator[schemathesis.schemas.BaseSchema]:
    """The document that a server with an instant engine gives."""
    with instant.child() as server:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")


def test_what_is_sent_is_answered_as_described(described):
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:

        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def probe(case):
            case.call_and_validate(checks=CHECKS)

        probe()


def test_every_reference_of_the_document_leads_somewhere():
    told = document()
    names = set(told["components"]["schemas"])
    for name, each in told["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(each)
        assert name.isidentifier()
    text = str(told)
    used = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert used == names


def test_malformed_bodies_and_frames_get_specified_errors():
    command = [sys.executable, str(FOLDER / "fuzz.py"), "--cases", str(CASES)]
    program = subprocess.run(command, capture_output=True, text=True, check=False)
    assert program.returncode == 0, program.stdout + program.stderr
    assert program.stdout.startswith(f"{CASES} cases in ")
