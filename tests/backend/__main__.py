"""Runs the sample backend beside a local stack in proxy mode: `make sample-backend` (PORT=9000)."""

import os

import uvicorn

from clients.tokens import DeployedSecret
from local.access import Access
from local.stack import HOME
from navietakie.domain.errors import Refusal
from tests.backend.app import Backend, create, push_as


def secrets() -> list[str]:
    """The secrets with which the running stack signs. Read at each request, because the stack may start later."""
    try:
        return DeployedSecret("local", "proxy").versions()
    except Refusal:  # no stack in proxy mode runs here, so no request is genuine
        return []


push = push_as(lambda: Access.read(HOME).credentials)
uvicorn.run(create(Backend(secrets, push)), host="127.0.0.1", port=int(os.environ.get("PORT") or 9000))
