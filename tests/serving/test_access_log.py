"""The access log: a share of the requests, every failure, and no way to forge a line."""

import json
import logging

import pytest

from lepton_ai.serving.access_log import AccessLog
from lepton_ai.serving.messages import Request


def request(path: str = "/v2", **headers: str) -> Request:
    return Request("GET", path, {name.encode(): value.encode() for name, value in headers.items()}, b"ab", client="::1")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "lepton_ai.access")
    return caplog


def test_a_share_is_logged_evenly(lines: pytest.LogCaptureFixture) -> None:
    log = AccessLog(0.25)
    for _ in range(100):
        log.write(request(), 200, 0.01)
    assert len(lines.records) == 25


def test_all_that_the_server_failed_at_is_logged(lines: pytest.LogCaptureFixture) -> None:
    log = AccessLog(0.001)
    for status in (200, 404, 500, 503):
        log.write(request(), status, 0.01)
    assert [json.loads(record.message)["status"] for record in lines.records] == [500, 503]


def test_what_strangers_wrote_cannot_forge_a_line(lines: pytest.LogCaptureFixture) -> None:
    AccessLog(1.0).write(request("/a\n{}\x1b[31m" + "x" * 1000, authorization="Bearer secret-token"), 404, 0.0123)
    (record,) = lines.records
    assert "\n" not in record.message and "\x1b" not in record.message and "secret" not in record.message
    told = json.loads(record.message)
    assert (told["status"], told["ms"], told["bytes"], told["client"]) == (404, 12.3, 2, "::1")
    assert len(told["path"]) == 200


def test_the_trace_is_kept(lines: pytest.LogCaptureFixture) -> None:
    AccessLog(1.0).write(request(traceparent="00-abc"), 200, 0.0)
    assert json.loads(lines.records[0].message)["trace"] == "00-abc"
