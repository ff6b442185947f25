"""Every knob, once, with its default and its reason.

Where values come from is told in `configuration.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self

import platformdirs
from pydantic import (
    ByteSize,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from actors.engines.spec import parse
from actors.errors import InvalidRequest
from cluster.configuration import PREFIX, config_file, read_file

_LEAST = ByteSize(192 << 20)
"""Of an actor's memory: an idle one holds about half of it."""


class Settings(BaseSettings):
    """Settings of a gateway and its clients; each is also read from `SHOAL_<NAME>` and a file.

    Raises:
        ValidationError: A value cannot be.
        InvalidRequest: The file cannot be read, or sets something that is no setting.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    root: str = Field(
        default_factory=lambda: platformdirs.user_data_dir("shoal"),
        description="Where collections lie: a folder, or an object-store URI such as s3://bucket/x",
    )
    url: str = Field("", description="Gateway to use instead of this machine's own")
    token: SecretStr = Field(
        SecretStr(""), description="Bearer token for `url`; of a gateway: the one that may do all"
    )
    tokens: SecretStr = Field(
        SecretStr(""),
        description="Further tokens of a gateway, as scope:secret parted by blanks; a scope is "
        "search, index (which may search too) or admin",
    )
    allowed_hosts: str = Field(
        "",
        description="Names, parted by blanks, that a gateway on TCP may be addressed by beside its "
        "own, addresses and localhost; * is any",
    )
    allowed_origins: str = Field(
        "",
        description="Web origins, parted by blanks, whose pages may call a gateway on TCP beside "
        "its own, as in https://tools.example",
    )
    rate_limit: float = Field(
        1000.0,
        ge=0,
        description="Requests a second over TCP from one address with one token, twice as many at "
        "once; 0 is no limit. By default twice what two cores can answer",
    )
    index_roots: str = Field(
        "",
        description="Folders, object-store prefixes and git addresses, parted by ',', that callers "
        "may have indexed; by default all that the gateway can read, or nothing on an address that "
        "others reach",
    )
    model: str = Field(
        "static:builtin", description="Model of new collections, as [engine:]reference[?option=…]"
    )
    reranker: str = Field(
        "",
        description="Cross-encoder that orders the best hits anew where a search asks for it "
        "(`rerank`), as onnx:folder or vllm:folder; empty is none",
    )
    shards: int = Field(
        1,
        ge=1,
        le=1024,
        description="Shards of a new collection; more pay from some 200,000 chunks on",
    )
    hosts: int = Field(
        0,
        ge=0,
        le=256,
        description="Shard hosts; 0 is two on a single machine, which keep both cores of a laptop "
        "busy, and in a cluster one on each worker or for each 8 of its CPUs",
    )
    replication: int = Field(
        2,
        ge=1,
        le=256,
        description="Hosts that serve each shard, at most all, on nodes of their own where there "
        "are so many; with two, one may die or be slow",
    )
    routers: int = Field(
        0,
        ge=0,
        le=256,
        description="Routers; one takes more than two cores of hosts can answer. 0 is one on a "
        "single machine, and in a cluster one for each four hosts, at least two",
    )
    embedders: int = Field(
        0,
        ge=0,
        le=256,
        description="Replicas of each model in use; 0 is one on a single machine, and in a cluster "
        "one on each worker, or for each GPU",
    )
    embedder_gpus: float | None = Field(
        None,
        ge=0,
        le=16,
        description="GPUs of a replica whose engine can use them (vllm); by default one in a "
        "cluster where a node has any. Set, replicas wait for a node with so many, which an "
        "autoscaler starts",
    )
    threads: int = Field(
        0, ge=0, le=256, description="Computations at once in a replica; 0 shares the cores"
    )
    keep_alive_s: float = Field(
        300.0, ge=-1, description="Seconds before an idle model is unloaded; 0 at once, -1 never"
    )
    embedder_memory: ByteSize | None = Field(
        None, description="The most a replica may use, as 2GiB; by default by its model"
    )
    host_memory: ByteSize | None = Field(
        None, description="What a shard host may use; by default by the machine"
    )
    control_memory: ByteSize | None = Field(
        None, description="What router and steward may use, each"
    )
    autoscaled_memory: ByteSize = Field(
        ByteSize(0),
        description="What actors may have on the largest node that an autoscaler adds: a batch job "
        "that no node has room for waits for one",
    )
    memory_soft: float = Field(
        0.80, gt=0, le=1, description="Share of its limit from which an actor gives up caches"
    )
    memory_hard: float = Field(
        0.95, gt=0, le=1, description="Share of its limit from which an actor refuses new work"
    )
    memory_enforcement: Literal["auto", "cgroup", "rlimit", "watchdog"] = Field(
        "auto", description="What holds actors to their limits; auto takes the best that works"
    )
    prefault: bool = Field(
        True, description="Read a model's weights ahead of a load, with progress; else as touched"
    )
    idle_shutdown_s: float = Field(
        1800.0, ge=0, description="Seconds before an idle gateway stops; 0 never"
    )
    deadline_s: float = Field(10.0, gt=0, description="Seconds a search may take")
    max_file_bytes: int = Field(
        1 << 20, ge=1, description="Larger files are skipped: they are data or generated"
    )
    shared_roots: str = Field(
        "",
        description="Folders that every node mounts alike, parted by ':': any node reads them, and "
        "other folders the gateway's own alone",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Logs of gateway and actors: for people, or one JSON object a line"
    )
    log_level: Literal["debug", "info", "warning"] = Field(
        "info", description="What of ours they hold; debug has every search and measures memory"
    )
    tracing: bool = Field(
        False, description="Make OpenTelemetry spans; takes shoal[otel] and its OTEL_… variables"
    )
    mcp_compatibility: bool = Field(
        False, description="Offer the MCP tools under the names of embed-search too"
    )
    ray_address: str = Field("", description="Ray cluster to attach to; empty starts one here")
    nodes: int = Field(
        1, ge=1, description="Nodes that a new cluster waits for, up to 5 minutes, before it serves"
    )
    object_store_bytes: int = Field(
        256 << 20, ge=80 << 20, description="Ray's shared memory on this machine"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - there are none
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings are read, the strongest first."""
        file = InitSettingsSource(settings_cls, read_file(cls.model_fields))
        return init_settings, env_settings, file

    @field_validator("model", "reranker")
    @classmethod
    def _located(cls, model: str, info: ValidationInfo) -> str:
        """Name the model as every process can: its paths are made absolute."""
        if not model and info.field_name == "reranker":
            return ""
        try:
            return str(parse(model).located())
        except InvalidRequest as error:
            raise ValueError(str(error)) from error

    @field_validator("embedder_memory", "host_memory", "control_memory")
    @classmethod
    def _enough(cls, size: ByteSize | None) -> ByteSize | None:
        if size is not None and size < _LEAST:
            message = f"{size.human_readable()} is less than the least, {_LEAST.human_readable()}"
            raise ValueError(message)
        return size

    @model_validator(mode="after")
    def _soft_comes_first(self) -> Self:
        if self.memory_soft >= self.memory_hard:
            message = (
                f"SHOAL_MEMORY_SOFT is {self.memory_soft}, which is not below SHOAL_MEMORY_HARD, "
                f"{self.memory_hard}"
            )
            raise ValueError(message)
        return self

    @property
    def local_root(self) -> Path | None:
        """The root as an absolute folder, or None where it is an object store."""
        return None if "://" in self.root else Path(self.root).expanduser().resolve()

    @property
    def shared_folders(self) -> tuple[str, ...]:
        """The folders that every node mounts alike, each by its real path."""
        given = (folder for folder in self.shared_roots.split(os.pathsep) if folder)
        return tuple(str(Path(folder).resolve()) for folder in given)

    @property
    def root_uri(self) -> str:
        """The root in the one form that names it everywhere."""
        return str(self.local_root or self.root.rstrip("/"))

    def environment(self) -> dict[str, str]:
        """Return the variables that give another process the settings that were given to this."""
        given = ((name, getattr(self, name)) for name in sorted(self.model_fields_set))
        return {f"{PREFIX}{name.upper()}": _written(v) for name, v in given if v is not None}


SECRETS = tuple(
    name for name, field in Settings.model_fields.items() if field.annotation is SecretStr
)
"""The settings that are shown to nobody."""


def origins(flags: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return where each setting comes from, in words.

    Args:
        flags: The settings that flags gave.

    Raises:
        InvalidRequest: The file cannot be read, or sets something that is no setting.
    """
    file = {name: f"file {config_file()}" for name in read_file(Settings.model_fields)}
    environment = dict.fromkeys(EnvSettingsSource(Settings)(), "environment")
    found = {**file, **environment, **dict.fromkeys(flags, "flag")}
    return {name: found.get(name, "default") for name in Settings.model_fields}


def _written(value: Any) -> str:  # noqa: ANN401 - of whatever type a setting has
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
