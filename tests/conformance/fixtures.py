"""What the official conformance suite looks for: tools, resources and prompts whose names it fixes.

They are added to our own server, so that the suite runs against our factory, door and transports.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import zlib
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import (
    AudioContent,
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from mcp_adapter.server import ShoalServer

_PAUSE_S = 0.05
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _png_part(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


_PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _png_part(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _png_part(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    + _png_part(b"IEND", b"")
)
_WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt "
_WAV += struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", 0)


def _image() -> ImageContent:
    return ImageContent(type="image", data=base64.b64encode(_PNG).decode(), mime_type="image/png")


def _resource(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    contents = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(type="resource", resource=contents)


class Events(EventStore):
    """Keeps every event, so that a stream can be resumed."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self._kept.append((stream_id, message))
        return str(len(self._kept))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str:
        last = int(last_event_id)
        stream, _ = self._kept[last - 1]
        for number, (of, message) in enumerate(self._kept[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


# Tools


async def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


async def test_image_content() -> list[ImageContent]:
    """Return an image."""
    return [_image()]


async def test_audio_content() -> list[AudioContent]:
    """Return a sound."""
    data = base64.b64encode(_WAV).decode()
    return [AudioContent(type="audio", data=data, mime_type="audio/wav")]


async def test_embedded_resource() -> list[EmbeddedResource]:
    """Return a resource."""
    return [_resource("test://embedded-resource", "This is an embedded resource content.")]


async def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Return a text, an image and a resource."""
    text = TextContent(type="text", text="Multiple content types test:")
    data = json.dumps({"test": "data", "value": 123})
    return [text, _image(), _resource("test://mixed-content-resource", data, "application/json")]


async def test_tool_with_logging(ctx: Context) -> str:
    """Log three times."""
    for said in ("started", "processing", "completed"):
        await ctx.info("Tool processing data" if said == "processing" else f"Tool execution {said}")
        await asyncio.sleep(_PAUSE_S)
    return "logged"


async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(_PAUSE_S)
    return "progressed"


async def test_error_handling() -> str:
    """Fail."""
    message = "This tool intentionally returns an error for testing"
    raise RuntimeError(message)


async def test_reconnection(ctx: Context) -> str:
    """Close the stream in mid-call and go on."""
    await ctx.close_sse_stream()
    await asyncio.sleep(4 * _PAUSE_S)
    return "reconnected"


async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    question = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message(
        [question], max_tokens=100, related_request_id=ctx.request_id
    )
    return f"LLM response: {answer.content.text}"


async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user."""
    return await _asked(ctx, message, response={"type": "string", "description": "User's response"})


async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask the user, with a default of each type."""
    return await _asked(
        ctx,
        "Please provide user information",
        name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True},
    )


async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask the user to choose, in each way that there is."""
    titled = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
    plain = {"type": "string", "enum": ["option1", "option2", "option3"]}
    return await _asked(
        ctx,
        "Please select options",
        untitledSingle=plain,
        titledSingle={"type": "string", "oneOf": titled},
        legacyEnum={**plain, "enumNames": ["Option One", "Option Two", "Option Three"]},
        untitledMulti={"type": "array", "items": plain},
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )


async def _asked(ctx: Context, message: str, **properties: Any) -> str:
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    answer = await ctx.session.elicit_form(message, schema, ctx.request_id)
    return f"User response: action={answer.action}, content={json.dumps(answer.content)}"


async def json_schema_2020_12_tool(name: str = "", address: Any = None) -> str:
    """Take arguments that a schema of the 2020-12 dialect describes."""
    return f"{name} {address}"


_SCHEMA_2020_12 = {
    "$schema": _DIALECT,
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

_TOOLS = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_tool_with_logging,
    test_tool_with_progress,
    test_error_handling,
    test_reconnection,
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    json_schema_2020_12_tool,
)


# Prompts


async def test_simple_prompt() -> str:
    """Say something."""
    return "This is a simple prompt for testing."


async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Say what was given."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


async def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803
    """Show a resource."""
    shown = _resource(resourceUri, "Embedded resource content for testing.")
    return [UserMessage(shown), UserMessage("Please process the embedded resource above.")]


async def test_prompt_with_image() -> list[Message]:
    """Show an image."""
    return [UserMessage(_image()), UserMessage("Please analyze the image above.")]


_PROMPTS = (
    test_simple_prompt,
    test_prompt_with_arguments,
    test_prompt_with_embedded_resource,
    test_prompt_with_image,
)


def equip(server: ShoalServer) -> None:
    """Add all of it to a server."""
    for tool in _TOOLS:
        server.add_tool(tool, structured_output=False)
    described = server._tool_manager.get_tool(json_schema_2020_12_tool.__name__)
    described.parameters = _SCHEMA_2020_12  # no signature makes such a one
    for prompt in _PROMPTS:
        server.prompt()(prompt)
    _add_resources(server)
    _add_the_rest(server)


def _add_resources(server: ShoalServer) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    async def static_text() -> str:
        """Return a text."""
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    async def static_binary() -> bytes:
        """Return an image."""
        return _PNG

    @server.resource("test://template/{id}/data", mime_type="application/json")
    async def template(id: str) -> str:  # noqa: A002 - the suite's name
        """Return what was asked for."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.resource("test://watched-resource", mime_type="text/plain")
    async def watched() -> str:
        """Return what can be subscribed to."""
        return "Watched resource content"


def _add_the_rest(server: ShoalServer) -> None:
    @server.completion()
    async def complete(*_what: object) -> Completion:
        return Completion(values=["paris", "park", "party"], total=3, has_more=False)

    async def agree(_ctx: object, _params: object) -> EmptyResult:
        return EmptyResult()

    protocol = server._lowlevel_server
    for method, params in (
        ("logging/setLevel", SetLevelRequestParams),
        ("resources/subscribe", SubscribeRequestParams),
        ("resources/unsubscribe", UnsubscribeRequestParams),
    ):
        protocol.add_request_handler(method, params, agree)
