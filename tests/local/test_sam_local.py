"""The gate between functions in containers and the embedded AWS."""

import asyncio
import socket

import pytest
from aiohttp import ClientError, ClientSession, web
from yarl import URL

from local.frontdoor import listen, listener
from local.sam_local import gate


def test_the_open_gate_passes_requests_on_unchanged() -> None:
    asked: list[tuple[str, str, bytes]] = []

    async def upstream(request: web.Request) -> web.Response:
        asked.append((request.raw_path, request.headers["host"], await request.read()))
        return web.Response(status=410, text="gone")

    async def scenario() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", upstream)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        listening = listen(0)[0]
        await web.SockSite(runner, listening).start()
        behind = f"http://127.0.0.1:{listening.getsockname()[1]}"
        opening = listener(socket.AF_INET, "127.0.0.1", 0)  # plays Docker's bridge
        port = opening.getsockname()[1]
        try:
            async with ClientSession() as client, gate(behind, opening):
                path = "/_aws/execute-api/a/local/@connections/c%3D"
                async with client.post(
                    URL(f"http://127.0.0.1:{port}{path}", encoded=True), data=b"frame" * 50_000
                ) as answer:
                    assert (answer.status, await answer.text()) == (410, "gone")
                assert asked == [(path, f"127.0.0.1:{port}", b"frame" * 50_000)]
                await runner.cleanup()
                with pytest.raises(ClientError):
                    await client.post(f"http://127.0.0.1:{port}", data=b"the stack has ended")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(scenario(), 30))
