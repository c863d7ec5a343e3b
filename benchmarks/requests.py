"""How many AWS requests does each operation make? tests/integration/test_requests.py counts them at the wire.

The setting: each side has one connection, the driver acts (by WebSocket if the name says so), nothing goes wrong.
`post` is a post to @connections. TransactWriteItems and BatchGetItem have the number of their items in parentheses. An
eventually consistent GetItem is `GetItem(lagging)`.
"""

from typing import Final

REQUESTS: Final[dict[str, dict[str, int]]] = {
    "message by REST": {"GetItem": 1, "TransactWriteItems(2)": 1, "Query": 1, "post": 2},
    "message by REST, with an id": {"GetItem": 1, "TransactWriteItems(3)": 1, "Query": 1, "post": 2},
    "message by WebSocket": {"GetItem(lagging)": 1, "GetItem": 1, "TransactWriteItems(2)": 1, "Query": 1, "post": 2},
    "message by WebSocket, with an id": {
        "GetItem(lagging)": 1,
        "GetItem": 1,
        "TransactWriteItems(3)": 1,
        "Query": 1,
        "post": 2,
    },
    "duplicate by WebSocket": {"GetItem(lagging)": 1, "GetItem": 2, "TransactWriteItems(3)": 1, "Query": 1, "post": 2},
    "receipt by WebSocket": {"GetItem(lagging)": 1, "UpdateItem": 1, "Query": 1, "post": 1},
    "receipt known already": {"GetItem(lagging)": 1, "UpdateItem": 1, "Query": 1},
    "newest page": {"GetItem": 1, "Query": 1},
    "past page, again": {"GetItem": 1},
    "connect": {"PutItem": 1, "GetItem": 1, "Query": 1, "post": 1},
    "disconnect": {"GetItem": 2, "DeleteItem": 1, "Query": 1, "post": 1},
    "typing": {"GetItem(lagging)": 1, "GetItem": 1, "Query": 1, "post": 1},
    "away": {"GetItem(lagging)": 1, "GetItem": 1, "UpdateItem": 1, "Query": 1, "post": 1},
    "ping": {"GetItem(lagging)": 1, "BatchGetItem(2)": 1, "Query": 1, "post": 1},
    "sync": {"GetItem(lagging)": 1, "BatchGetItem(2)": 1, "Query": 2, "post": 1},
    "call: initiate": {
        "GetItem(lagging)": 1,
        "GetItem": 1,
        "SendMessage": 1,
        "TransactWriteItems(2)": 1,
        "Query": 1,
        "post": 2,
        "Publish": 1,
    },
    "call: signal": {"GetItem(lagging)": 1, "GetItem": 1, "Query": 1, "post": 1},
    "call: ice": {"GetItem(lagging)": 1, "GetItem": 2, "post": 1},
    "call: accept": {"GetItem(lagging)": 1, "GetItem": 1, "TransactWriteItems(2)": 1, "Query": 1, "post": 2},
    "call: end": {"GetItem(lagging)": 1, "GetItem": 2, "TransactWriteItems(4)": 1, "Query": 1, "post": 4, "Publish": 1},
    "call: report": {"GetItem(lagging)": 1, "GetItem": 2, "post": 1},
    "call log": {"GetItem": 2, "Query": 1},
}

SWITCHED_ON: Final[dict[str, dict[str, int]]] = {
    "message by REST, with a hook": {"GetItem": 1, "Invoke": 1, "TransactWriteItems(2)": 1, "Query": 1, "post": 2},
    "message by REST, with an id and a hook": {
        "GetItem": 2,
        "Invoke": 1,
        "TransactWriteItems(3)": 1,
        "Query": 1,
        "post": 2,
    },
    "message by REST, with masking": {"GetItem": 1, "TransactWriteItems(2)": 1, "Query": 1, "post": 2},
    "one message event, ids": {"Publish": 1},
    "one message event, full": {"BatchGetItem(1)": 1, "Publish": 1},
    "ten message events at once, full": {"BatchGetItem(10)": 1, "Publish": 10},
}
"""The same with features that an operator has switched on."""

ATTACHED: Final[dict[str, dict[str, int]]] = {
    "a form by REST": {"GetItem": 1, "UpdateItem": 1},
    "message with an attachment by REST, with an id": {
        "GetItem": 2,
        "HeadObject": 2,
        "CopyObject": 1,
        "TransactWriteItems(3)": 1,
        "Query": 1,
        "post": 2,
    },
    "an address by REST": {"GetItem": 1, "HeadObject": 1},
    "redaction by REST": {"GetItem": 3, "DeleteObject": 2, "TransactWriteItems(4)": 1, "Query": 1, "post": 2},
}
"""The requests of a photo or a voice note, from its form to its redaction."""

ROUND_TRIPS: Final[dict[str, int]] = {
    "message by REST": 3,
    "message by REST, with an id": 3,
    "message by WebSocket": 4,
    "receipt by REST": 2,
    "receipt by WebSocket": 3,
    "connect": 3,
    "typing": 3,
    "ping": 3,
    "sync": 4,
    "call: initiate": 7,
    "call: signal": 3,
    "call: accept": 5,
    "call: end": 7,
}
"""How often each operation waits for AWS. Requests that are made at once count as one, and so do posts to many.

tests/integration/test_round_trips.py counts them in the same setting.
"""
