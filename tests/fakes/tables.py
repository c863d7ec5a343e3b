"""The three tables as the template makes them, for moto and for the embedded DynamoDB."""

from typing import Any

NAMES = {
    "messages": "navietakie-messages-test",
    "connections": "navietakie-connections-test",
    "calls": "navietakie-calls-test",
}


def create(client: Any, names: dict[str, str] = NAMES) -> None:
    """Makes the tables."""
    for name in ("messages", "calls"):
        client.create_table(
            TableName=names[name],
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "booking_code", "AttributeType": "S"},
                {"AttributeName": "timestamp", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "booking_code", "KeyType": "HASH"},
                {"AttributeName": "timestamp", "KeyType": "RANGE"},
            ],
        )
    client.create_table(
        TableName=names["connections"],
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "connection_id", "AttributeType": "S"},
            {"AttributeName": "booking_code", "AttributeType": "S"},
        ],
        KeySchema=[{"AttributeName": "connection_id", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "booking_code-index",
                "KeySchema": [{"AttributeName": "booking_code", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
