"""The MCP server on stdio, as an assistant starts it, in front of the running stack."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client

from clients.tokens import DeployedSecret, Wanted, token
from local.stack import ROOT, Stack
from tests.running import Run

COMMAND = ["-m", "clients.mcp_server"]


def assist(stack: Stack, booking: str, story: Callable[[Client], Awaitable[None]], bearer: str = "") -> None:
    """Runs `story` with the client of a new MCP server for a booking, with the token `bearer`."""
    where = {"PYTHONPATH": str(ROOT / "layers" / "shared"), "NAVIETAKIE_URL": stack.url, "NAVIETAKIE_TOKEN": bearer}
    where["BOOKING"] = booking
    parameters = StdioServerParameters(command=sys.executable, args=COMMAND, cwd=ROOT, env={**os.environ, **where})

    async def run() -> None:
        async with Client(stdio_client(parameters)) as client:
            await story(client)

    asyncio.run(run())


async def call(client: Client, tool: str, booking: str, **arguments: Any) -> Any:
    """The answer of a tool, or the text of its error."""
    result = await client.call_tool(tool, {"booking_code": booking, **arguments})
    return result.content[0].text if result.is_error else result.structured_content  # pyright: ignore


def test_an_assistant_plays_both_sides_of_a_booking(stack: Stack) -> None:
    async def story(client: Client) -> None:
        sent = await call(client, "send_message", "mcp-1", sender="driver", message="At the corner of Main Street")
        assert sent["message"]["seq"] == 1
        made = await call(client, "make_call", "mcp-1", sender="passenger", action="initiate")
        who = {"sender": "driver", "call_id": made["call"]["call_id"]}
        assert (await call(client, "make_call", "mcp-1", action="reject", **who))["call"]["end_reason"] == "declined"
        assert "illegal_transition" in await call(client, "make_call", "mcp-1", action="accept", **who)
        log = await call(client, "list_calls", "mcp-1")
        assert [it["state"] for it in log["calls"]] == ["ended"]
        page = await call(client, "get_message", "mcp-1", order="asc")
        assert [it["message_type"] for it in page["messages"]] == ["text", "call"]
        (content,) = (await client.read_resource("navietakie://bookings/mcp-1")).contents
        first = json.loads(content.text)["messages"][0]  # pyright: ignore
        assert (first["sender"], first["message"]) == ("driver", "At the corner of Main Street")
        assert "for booking mcp-1 alone" in await call(client, "get_message", "mcp-3")

    assist(stack, "mcp-1", story)


def test_an_assistants_token_is_valid_only_for_its_booking_and_role(jwt_run: tuple[Run, Stack]) -> None:
    run, stack = jwt_run
    wanted = Wanted.parse({"booking": "mcp-2", "role": "driver", "sub": "assistant", "ttl": 300})

    async def story(client: Client) -> None:
        sent = await call(client, "send_message", "mcp-2", sender="driver", message="On my way to you")
        assert sent["message"]["sender_id"] == "assistant"
        assert "forbidden" in await call(client, "send_message", "mcp-2", sender="passenger", message="No, I am")
        assert "forbidden" in await call(client, "get_message", "mcp-3")

    async def without_a_token(client: Client) -> None:
        assert "unauthorized" in await call(client, "get_message", "mcp-2")

    assist(stack, "*", story, token(DeployedSecret("local", home=run.home).current(), wanted, time.time()))
    assist(stack, "mcp-2", without_a_token)
