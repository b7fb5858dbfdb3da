"""Logs: one form for all of the process, without personal data."""

import io
import json
import logging
from typing import Any

import structlog

from jobs.logs import configure

NUMBER, ADDRESS = "+12025550123", "ann@example.com"


def written(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_personal_data_is_masked_wherever_it_stands() -> None:
    file = io.StringIO()
    configure("INFO", "json", file)
    structlog.get_logger().info(
        f"called {NUMBER}", who=[{"mail": ADDRESS}], error=ValueError(NUMBER), seconds=1.5
    )
    (line,) = written(file)
    assert NUMBER not in file.getvalue()
    assert ADDRESS not in file.getvalue()
    assert line["event"] == "called +1••••••••23"
    assert line["seconds"] == 1.5
    assert line["level"] == "info"


def test_tracebacks_are_masked_too() -> None:
    file = io.StringIO()
    configure("INFO", "json", file)
    try:
        raise ValueError(f"no answer from {NUMBER}")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("elsewhere").exception("failed")
    ours, theirs = written(file)
    for line in (ours, theirs):
        assert "ValueError: no answer from +1" in line["exception"]
    assert NUMBER not in file.getvalue()


def test_the_standard_librarys_logs_have_the_same_form() -> None:
    file = io.StringIO()
    configure("WARNING", "json", file)
    logging.getLogger("arq.worker").warning("job for %s", NUMBER)
    logging.getLogger("arq.worker").info("left out")
    structlog.get_logger().info("left out")
    (line,) = written(file)
    assert line["event"] == "job for +1••••••••23"
    assert line["level"] == "warning"


def test_lines_to_read() -> None:
    file = io.StringIO()
    configure("INFO", "console", file)
    structlog.get_logger().info("job_done", job="lead.qualify")
    assert "job_done" in file.getvalue()
    assert "job=lead.qualify" in file.getvalue()
    assert "\x1b" not in file.getvalue()
