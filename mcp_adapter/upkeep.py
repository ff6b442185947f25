"""Routes for those who keep a cluster up; all take a token of scope admin."""

from __future__ import annotations

from fastapi import APIRouter

from cluster.protocol import CollectionName, Job
from cluster.upkeep_protocol import Backup, BackupBody, BackupsBody, Diagnosis, RestoreBody
from mcp_adapter.parsing import ParsedRoute
from mcp_adapter.ready import ReadyService

router = APIRouter(prefix="/v1", route_class=ParsedRoute)


@router.post("/doctor")
async def doctor(service: ReadyService) -> Diagnosis:
    """Examine the cluster, every node from a task on it."""
    return await service.doctor()


@router.post("/collections/{collection}/backup")
async def backup(collection: CollectionName, body: BackupBody, service: ReadyService) -> Job:
    """Start to copy a collection's newest generation to a place for backups."""
    return await service.copies.backup(collection, body)


@router.post("/restore")
async def restore(body: RestoreBody, service: ReadyService) -> Job:
    """Start to bring a collection back from a backup."""
    return await service.copies.restore(body)


@router.post("/backups")
async def backups(body: BackupsBody, service: ReadyService) -> tuple[Backup, ...]:
    """Return the backups in a place."""
    return await service.copies.backups(body)
