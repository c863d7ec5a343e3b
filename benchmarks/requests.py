"""How many AWS requests does each operation make? Counted at the wire by tests/integration/test_requests.py.

The setting: one connection of each side, the driver acts (by WebSocket where the name says so), nothing goes wrong.
`post` is a post to @connections. A TransactWriteItems is written with the number of its items.
"""

from typing import Final

REQUESTS: Final[dict[str, dict[str, int]]] = {
    "message by REST": {"GetItem": 1, "TransactWriteItems(2)": 1, "Query": 1, "post": 2},
    "message by REST, with an id": {"GetItem": 1, "TransactWriteItems(3)": 1, "Query": 1, "post": 2},
    "message by WebSocket": {"GetItem": 2, "TransactWriteItems(2)": 1, "Query": 1, "post": 2},
    "message by WebSocket, with an id": {"GetItem": 2, "TransactWriteItems(3)": 1, "Query": 1, "post": 2},
    "duplicate by WebSocket": {"GetItem": 3, "TransactWriteItems(3)": 1, "Query": 1, "post": 2},
    "receipt by WebSocket": {"GetItem": 1, "UpdateItem": 1, "Query": 1, "post": 1},
    "receipt known already": {"GetItem": 1, "UpdateItem": 1},
    "newest page": {"GetItem": 1, "Query": 1},
    "past page, again": {"GetItem": 1},
    "connect": {"PutItem": 1, "GetItem": 1, "Query": 1, "post": 1},
    "disconnect": {"GetItem": 2, "DeleteItem": 1, "Query": 1, "post": 1},
    "typing": {"GetItem": 2, "Query": 1, "post": 1},
    "away": {"GetItem": 2, "UpdateItem": 1, "Query": 1, "post": 1},
    "ping": {"GetItem": 3, "Query": 1, "post": 1},
    "sync": {"GetItem": 3, "Query": 2, "post": 1},
    "call: initiate": {"GetItem": 2, "SendMessage": 1, "TransactWriteItems(2)": 1, "Query": 1, "post": 2, "Publish": 1},
    "call: signal": {"GetItem": 2, "Query": 1, "post": 1},
    "call: ice": {"GetItem": 3, "post": 1},
    "call: accept": {"GetItem": 2, "TransactWriteItems(2)": 1, "Query": 1, "post": 2},
    "call: end": {"GetItem": 3, "TransactWriteItems(4)": 1, "Query": 2, "post": 4, "Publish": 1},
    "call: report": {"GetItem": 3, "post": 1},
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
"""The same where an operator has asked for more. A BatchGetItem is written with the number of its items."""

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
"""What a photo or a voice note asks of AWS, from its form to its redaction."""
