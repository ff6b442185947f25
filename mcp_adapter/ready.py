"""The service, for routes that need it ready."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from cluster.service import Service


async def ready_service(request: Request) -> Service:
    """Return what answers; not being async would cost a thread's turn.

    Raises:
        GatewayUnavailable: It is not ready yet, or not any more.
    """
    service: Service = request.app.state.service
    service.check_ready()
    return service


ReadyService = Annotated[Service, Depends(ready_service)]
