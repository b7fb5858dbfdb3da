"""Log lines: one format for the whole process, without personal data."""

import io
import json
import logging
from typing import Any

import structlog

from jobs.logs import configure

PHONE, EMAIL = "+12025550123", "ann@example.com"


def lines_of(file: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_personal_data_is_masked_in_message_and_fields() -> None:
    file = io.StringIO()
    configure("INFO", "json", file)
    structlog.get_logger().info(
        f"called {PHONE}", who=[{"mail": EMAIL}], error=ValueError(PHONE), seconds=1.5
    )
    (line,) = lines_of(file)
    assert PHONE not in file.getvalue()
    assert EMAIL not in file.getvalue()
    assert line["event"] == "called +1••••••••23"
    assert line["seconds"] == 1.5
    assert line["level"] == "info"


def test_tracebacks_are_masked() -> None:
    file = io.StringIO()
    configure("INFO", "json", file)
    try:
        raise ValueError(f"no answer from {PHONE}")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("elsewhere").exception("failed")
    structlog_line, logging_line = lines_of(file)
    for line in (structlog_line, logging_line):
        assert "ValueError: no answer from +1" in line["exception"]
    assert PHONE not in file.getvalue()


def test_standard_library_logs_have_the_same_format() -> None:
    file = io.StringIO()
    configure("WARNING", "json", file)
    logging.getLogger("arq.worker").warning("job for %s", PHONE)
    logging.getLogger("arq.worker").info("left out")
    structlog.get_logger().info("left out")
    (line,) = lines_of(file)
    assert line["event"] == "job for +1••••••••23"
    assert line["level"] == "warning"


def test_console_lines_are_plain_text() -> None:
    file = io.StringIO()
    configure("INFO", "console", file)
    structlog.get_logger().info("job_done", job="lead.qualify")
    assert "job_done" in file.getvalue()
    assert "job=lead.qualify" in file.getvalue()
    assert "\x1b" not in file.getvalue()
