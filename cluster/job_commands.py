"""`shoal jobs`: what is and was under way, one job in full, following it, cancelling it."""

from __future__ import annotations

from typing import Annotated

import typer

from actors.errors import InvalidRequest
from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings


@with_settings
def jobs(
    settings: Settings,
    job_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show all of this job.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show its progress until it ends; Ctrl-C leaves it.")
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel it; its collection stays as it was.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List jobs, running ones first, newest first; or show, follow or cancel one."""
    from cluster import console  # noqa: PLC0415

    if job_id is None:
        if follow or cancel:
            message = "name the job, as in `shoal jobs ID --follow`; `shoal jobs` lists them"
            raise InvalidRequest(message)
        _list(settings, as_json)
        return
    if follow and cancel:
        message = "take either --follow or --cancel"
        raise InvalidRequest(message)
    with client(settings) as shoal:
        job = shoal.cancel(job_id) if cancel else shoal.job(job_id)
        if follow:
            try:
                with console.job_progress() as show:
                    job = shoal.wait(job, show)
            except KeyboardInterrupt:
                console.err.print(how_to_go_on(job.id), markup=False)
                raise
    if as_json:
        print_json(job.model_dump(mode="json"))
    else:
        console.show_job_in_full(job)


def how_to_go_on(job_id: str) -> str:
    """Return what a person can do who no longer waits for a job."""
    return (
        f"job {job_id} goes on in the background; `shoal jobs {job_id} --follow` shows it, "
        "--cancel ends it"
    )


def _list(settings: Settings, as_json: bool) -> None:
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal:
        found = shoal.jobs()
    if as_json:
        print_json([job.model_dump(mode="json") for job in found])
    else:
        console.show_jobs(found)
