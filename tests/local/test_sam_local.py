"""The gate between functions in containers and the embedded AWS."""

import asyncio

from aiohttp import ClientSession, web
from multidict import CIMultiDict

from local.frontdoor import listen
from local.sam_local import gate

SIGNED = "AWS4-HMAC-SHA256 Credential=AKIASOMEBODY/20260101/us-east-1/dynamodb/aws4_request, Signature=abc"


def test_a_request_passes_as_the_embedded_root_whoever_signed_it() -> None:
    asked: list[tuple[str, CIMultiDict[str], bytes]] = []

    async def upstream(request: web.Request) -> web.Response:
        asked.append((request.raw_path, CIMultiDict(request.headers), await request.read()))
        return web.Response(status=410, text="gone", headers={"x-amzn-requestid": "r"})

    async def scenario() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", upstream)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        socket = listen(0)[0]
        await web.SockSite(runner, socket).start()
        headers = {"authorization": SIGNED, "x-amz-security-token": "theirs", "x-amz-target": "DynamoDB.GetItem"}
        try:
            async with (
                gate(f"http://127.0.0.1:{socket.getsockname()[1]}", 0) as port,
                ClientSession(f"http://127.0.0.1:{port}") as client,
                client.post("/_aws/execute-api/a/local/@connections/c", data=b"frame", headers=headers) as answer,
            ):
                assert (answer.status, await answer.text(), answer.headers["x-amzn-requestid"]) == (410, "gone", "r")
        finally:
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(scenario(), 30))
    [(path, headers, body)] = asked
    assert path == "/_aws/execute-api/a/local/@connections/c"
    assert body == b"frame"
    assert headers["authorization"] == SIGNED.replace("AKIASOMEBODY", "test")
    assert headers["x-amz-target"] == "DynamoDB.GetItem"
    assert "x-amz-security-token" not in headers
