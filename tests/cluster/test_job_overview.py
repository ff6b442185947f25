"""Jobs as a person at a terminal reads them."""

import io

import pytest
from rich.console import Console

from cluster import job_commands
from cluster.job_overview import job_lines, jobs_table, pace
from cluster.protocol import FileError, Job

NOW = 1e9
RUNNING = Job(
    id="0a1b",
    collection="pond",
    kind="index",
    source="/src/pond",
    started_at=NOW - 75,
    state="running",
    phase="reading and embedding",
    files_done=30,
    files_total=90,
    files_changed=20,
    files_unchanged=10,
    files_removed=0,
    chunks=400,
    skipped={"unreadable": 3, "empty": 1},
    errors=(
        FileError(path="a.py", reason="unreadable"),
        FileError(path="b\x1b[31m\n.py", reason="unreadable"),
    ),
    errors_omitted=1,
    generation=0,
    seconds=70.0,
    rate=2.5,
    eta_s=24.0,
    error="",
    error_kind="",
)


def changed(**fields):
    return RUNNING.model_copy(update=fields)


def test_a_row_tells_how_far_and_how_fast_a_job_is():
    out = io.StringIO()
    Console(file=out, width=200).print(jobs_table([RUNNING], NOW))
    row = out.getvalue().splitlines()[1].split()
    expected = "0a1b index pond running reading and embedding 30/90 400 2.5 0:00:24 0:01:15"
    assert row == expected.split()


def test_all_of_a_job_has_its_errors_by_file_and_nothing_hidden_in_them():
    assert list(job_lines(RUNNING, NOW)) == [
        "job 0a1b (index): running, reading and embedding",
        "collection pond, generation 0, source /src/pond",
        "files 30 of 90 done: 20 new or changed, 10 unchanged, 0 removed; 400 chunks",
        "began 0:01:15 ago, runs for 0:01:10, 2.5 files/s, 0:00:24 left",
        "skipped: 1 empty, 3 unreadable",
        "  a.py: unreadable",
        "  b\ufffd[31m .py: unreadable",
        "  and 1 more",
    ]


def test_a_job_that_failed_says_why_first():
    failed = changed(state="failed", error="no space is left", error_kind="StorageError")
    assert list(job_lines(failed, NOW))[1] == "StorageError: no space is left"


def test_the_time_left_is_told_where_it_is_known():
    assert pace(RUNNING) == "2.5 files/s, 0:00:24 left"
    assert pace(changed(eta_s=None)) == "2.5 files/s"


def test_clocks_that_differ_make_no_negative_age():
    assert "began 0:00:00 ago" in list(job_lines(RUNNING, NOW - 1000))[3]


class Impatient:
    """A client whose user presses Ctrl-C while it waits."""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def job(self, job_id):
        return changed(id=job_id)

    def wait(self, job, show):
        show(job)
        raise KeyboardInterrupt


def test_ctrl_c_leaves_a_followed_job_running_and_says_how_to_go_on(monkeypatch, capsys):
    monkeypatch.setattr(job_commands, "client", lambda _settings: Impatient())
    with pytest.raises(KeyboardInterrupt):
        job_commands.jobs(
            "0a1b", follow=True, root=None, url=None, config=None, chosen=None, debug=False
        )
    said = "job 0a1b goes on in the background; `shoal jobs 0a1b --follow` shows it, --cancel ends"
    assert capsys.readouterr().err.startswith(said)
