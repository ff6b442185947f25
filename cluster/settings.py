"""Every knob, once, with its default and its reason."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of a gateway and its clients; each is also read from `SHOAL_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="SHOAL_", extra="forbid", frozen=True)

    root: str = Field(
        default_factory=lambda: platformdirs.user_data_dir("shoal"),
        description="Where collections lie: a folder, or an object-store URI such as s3://bucket/x",
    )
    url: str = Field("", description="Gateway to use instead of this machine's own")
    token: SecretStr = Field(SecretStr(""), description="Bearer token for `url`")
    model: str = Field("static:builtin", description="Model, as engine:reference")
    shards: int = Field(2, ge=1, le=1024, description="Shards of a new collection")
    hosts: int = Field(
        2, ge=1, le=256, description="Shard hosts; two keep both cores of a laptop busy"
    )
    embedders: int = Field(1, ge=1, le=256, description="Replicas of the model")
    keep_alive_s: float = Field(
        300.0, ge=-1, description="Seconds before an idle model is unloaded; 0 at once, -1 never"
    )
    idle_shutdown_s: float = Field(
        1800.0, ge=0, description="Seconds before an idle gateway stops; 0 never"
    )
    deadline_s: float = Field(10.0, gt=0, description="Seconds a search may take")
    max_file_bytes: int = Field(
        1 << 20, ge=1, description="Larger files are skipped: they are data or generated"
    )
    ray_address: str = Field("", description="Ray cluster to attach to; empty starts one here")
    object_store_bytes: int = Field(
        256 << 20, ge=80 << 20, description="Ray's shared memory on this machine"
    )

    @property
    def local_root(self) -> Path | None:
        """The root as an absolute folder, or None where it is an object store."""
        return None if "://" in self.root else Path(self.root).expanduser().resolve()

    @property
    def root_uri(self) -> str:
        """The root in the one form that names it everywhere."""
        return str(self.local_root or self.root.rstrip("/"))
