"""Records as people and machines read them, with the request that they belong to."""

import contextvars
import json
import logging
import subprocess
import sys

from actors.logs import JsonFormatter, TextFormatter
from actors.origin import Origin, current, joined, working_for


def record(message="two\nlines", **extra):
    made = logging.LogRecord("shoal.host", logging.WARNING, __file__, 1, message, (), None)
    made.__dict__ |= extra
    return made


def test_a_record_for_machines_is_one_json_object_on_one_line():
    with working_for(Origin("r1")):
        line = JsonFormatter("host-0").format(record(fields={"took_ms": 3}))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == "two\nlines"
    assert (told["level"], told["logger"], told["process"]) == ("WARNING", "shoal.host", "host-0")
    assert (told["request_id"], told["took_ms"]) == ("r1", 3)


def test_a_record_for_people_names_its_request_and_its_fields_on_one_line():
    with working_for(Origin("r1")):
        line = TextFormatter().format(record(fields={"took_ms": 3}))
    assert line.endswith("WARNING shoal.host [r1]: two lines took_ms=3")
    assert TextFormatter().format(record()).endswith("WARNING shoal.host: two lines")


def test_a_traceback_goes_along():
    try:
        int("odd")
    except ValueError:
        failed = record(exc_info=sys.exc_info())
    assert "ValueError: invalid" in json.loads(JsonFormatter("").format(failed))["exception"]
    assert "\nTraceback (most recent call last):\n" in TextFormatter().format(failed)


def test_a_batch_names_each_of_its_requests_once_and_the_first_span():
    batch = [Origin("r1"), Origin("r2", "span-2"), Origin("r1"), Origin("", "span-3")]
    assert joined(batch) == Origin("r1,r2", "span-2")


def test_a_thread_or_task_that_was_started_for_a_request_works_for_it():
    with working_for(Origin("r1")):
        context = contextvars.copy_context()
    assert context.run(current) == Origin("r1")
    assert current() == Origin()


def test_an_actor_logs_to_a_file_of_its_name_from_the_level_it_is_told(tmp_path):
    code = (
        "import logging; from actors.logs import begin_actors_log; begin_actors_log('pool/1');"
        "log = logging.getLogger('shoal.x'); log.info('kept'); log.debug('not kept')"
    )
    environment = {"SHOAL_ACTOR_LOGS": str(tmp_path / "logs"), "SHOAL_LOG_FORMAT": "json"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
    (line,) = (tmp_path / "logs" / "pool%2F1.log").read_text().splitlines()
    assert json.loads(line)["message"] == "kept"
