"""Tools of the conformance suite that need more than one round: they ask, and are called again."""

from __future__ import annotations

import json
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

from mcp_adapter.server import ShoalServer


def _user(message: str, field: str = "name", kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def _model(question: str) -> CreateMessageRequest:
    said = SamplingMessage(role="user", content=TextContent(type="text", text=question))
    params = CreateMessageRequestParams(messages=[said], max_tokens=100)
    return CreateMessageRequest(params=params)


def _required(state: str | None = None, **requests: Any) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def _given(ctx: Context, *names: str) -> list[Any] | None:
    """Return the answers to what was asked for, once all are there."""
    answers = ctx.input_responses or {}
    return [answers[name] for name in names] if set(names) <= answers.keys() else None


async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Ask the user."""
    if answers := _given(ctx, "user_name"):
        return f"Hello, {answers[0].content['name']}!"
    return _required(user_name=_user("What is your name?"))


async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Ask the client's model."""
    if answers := _given(ctx, "capital_question"):
        return answers[0].content.text
    return _required(capital_question=_model("What is the capital of France?"))


async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Ask for the client's roots."""
    if answers := _given(ctx, "client_roots"):
        return f"{len(answers[0].roots)} roots"
    return _required(client_roots=ListRootsRequest())


async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Ask, and know what for when the answer comes."""
    if _given(ctx, "confirm") and ctx.request_state == "confirming":
        return "state-ok"
    return _required("confirming", confirm=_user("Please confirm", "ok", "boolean"))


async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Ask for three things at once."""
    if _given(ctx, "user_name", "greeting", "client_roots"):
        return "all are there"
    return _required(
        "asking",
        user_name=_user("What is your name?"),
        greeting=_model("Generate a greeting"),
        client_roots=ListRootsRequest(),
    )


async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Ask twice, one after the other."""
    state = json.loads(ctx.request_state or "{}")
    if "name" in state and (answers := _given(ctx, "step2")):
        return f"{state['name']} likes {answers[0].content['color']}"
    if state and (answers := _given(ctx, "step1")):
        second = _user("Step 2: What is your favorite color?", "color")
        return _required(json.dumps({"name": answers[0].content["name"]}), step2=second)
    return _required(json.dumps({"round": 1}), step1=_user("Step 1: What is your name?"))


async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """Ask with a state, which the server seals; one that was changed never comes here."""
    if ctx.request_state:
        return "state-ok"
    return _required("sealed", confirm=_user("Please confirm", "ok", "boolean"))


async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
    """Ask only for what the client can give."""
    can = ctx.client_capabilities
    asked = {"sample": _model("Say hello")} if can and can.sampling else {}
    if can and can.elicitation:
        asked["ask"] = _user("What is your name?")
    return _required("asking", **asked)


async def test_missing_capability(ctx: Context) -> str:
    """Refuse clients without a model."""
    can = ctx.client_capabilities
    if can and can.sampling:
        return "it can"
    raise MCPError(
        code=MISSING_REQUIRED_CLIENT_CAPABILITY,
        message="the client has to offer sampling",
        data={"requiredCapabilities": {"sampling": {}}},
    )


async def test_input_required_result_prompt(
    ctx: Context,
) -> list[UserMessage] | InputRequiredResult:
    """Ask before a prompt is written."""
    if answers := _given(ctx, "user_context"):
        return [UserMessage(f"Use the following context: {answers[0].content['context']}")]
    return _required(user_context=_user("What context should the prompt use?", "context"))


_TOOLS = (
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_tampered_state,
    test_input_required_result_capabilities,
    test_missing_capability,
)


def equip(server: ShoalServer) -> None:
    """Add all of it to a server."""
    for tool in _TOOLS:
        server.add_tool(tool, structured_output=False)
    server.prompt()(test_input_required_result_prompt)
