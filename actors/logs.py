"""Logs: one record a line, for people or as JSON, each with the request that it belongs to.

No record holds the text of a query or of a chunk: sizes, names, times and ids are enough.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from actors.origin import current

LOGGER = "shoal"
"""Above all loggers of ours."""
FOLDER_VARIABLE = "SHOAL_ACTOR_LOGS"
"""Tells actors in which folder to log; a gateway sets it for a Ray of its own."""
_FILE_BYTES = 4 << 20
"""Of an actor's log, before it is kept as `….log.1` and begun anew: some 20,000 records."""


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, request, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record; only a traceback takes more than a line."""
        request = current().request_id
        named = f" [{request}]" if request else ""
        fields = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        said = " ".join(record.getMessage().splitlines())
        line = f"{_time(record)} {record.levelname} {record.name}{named}: {said} {fields}".rstrip()
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class JsonFormatter(logging.Formatter):
    """For machines: one JSON object a line.

    Args:
        process: Who logs: "gateway", or an actor's name.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return one record."""
        told = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "pid": record.process,
            "request_id": current().request_id,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def begin_logging(
    process: str, log_format: str, level: int = logging.INFO, file: Path | None = None
) -> None:
    """Have the calling process log, to a file of bounded size or to stderr.

    Args:
        process: Who logs.
        log_format: "text" or "json".
        level: Of our own records; those of libraries are kept from WARNING on.
        file: Where to; None for stderr.
    """
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if file is not None:
        from logging.handlers import RotatingFileHandler  # noqa: PLC0415 - clients do without

        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=_FILE_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(JsonFormatter(process) if log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(LOGGER).setLevel(level)


def begin_actors_log(name: str, environment: Mapping[str, str] = os.environ) -> None:
    """Have an actor log as its environment says: `SHOAL_LOG_FORMAT`, `SHOAL_LOG_LEVEL`.

    Where no folder is named, records go to stderr, which Ray keeps in its own logs.
    """
    folder = environment.get(FOLDER_VARIABLE, "")
    level = logging.getLevelNamesMapping().get(environment.get("SHOAL_LOG_LEVEL", "").upper())
    begin_logging(
        name,
        environment.get("SHOAL_LOG_FORMAT", "text"),
        logging.INFO if level is None else level,
        Path(folder) / f"{quote(name, safe='')}.log" if folder else None,
    )


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Return what was logged beside the message, as `extra={"fields": {…}}`."""
    fields: dict[str, object] = getattr(record, "fields", {})
    return fields


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
