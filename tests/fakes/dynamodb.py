"""DynamoDB in memory, as far as the functions use it: one request at a time, and a refusal to guess at anything else.

A run of tests/chaos makes the same history here as on the embedded AWS's DynamoDB: a test holds the two together.
"""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

Item = dict[str, Any]
Values = dict[str, Any]
Test = Callable[[Item], bool]

_TOKEN = re.compile(r"\s*([#:]?\w+|<>|<=|>=|[=<>(),])")


class Refused(Exception):
    """An error of the service: its code, and what else is in the answer."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


class DynamoDb:
    """Call it with an operation and its fields: the fields of the answer. Raises Refused."""

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {}
        self._tables: dict[str, dict[tuple[str, ...], Item]] = {}
        self._done: dict[str, str] = {}
        """What was asked under which ClientRequestToken."""

    def __call__(self, operation: str, fields: Values) -> Values:
        return _OPERATIONS[operation](self, fields)

    def _create_table(self, fields: Values) -> Values:
        keys = sorted(fields["KeySchema"], key=lambda key: key["KeyType"])  # HASH before RANGE
        self._keys[fields["TableName"]] = [key["AttributeName"] for key in keys]
        self._tables[fields["TableName"]] = {}
        return {"TableDescription": {"TableName": fields["TableName"], "TableStatus": "ACTIVE"}}

    def _delete_table(self, fields: Values) -> Values:
        del self._tables[fields["TableName"]]
        return {}

    def _get_item(self, fields: Values) -> Values:
        item = self._find(fields, fields["Key"])
        return {} if item is None else {"Item": item}

    def _batch_get_item(self, fields: Values) -> Values:
        ((table, wanted),) = fields["RequestItems"].items()
        found = [self._find({"TableName": table}, key) for key in wanted["Keys"]]
        return {"Responses": {table: [item for item in found if item is not None]}, "UnprocessedKeys": {}}

    def _put_item(self, fields: Values) -> Values:
        self._check(fields, fields["Item"])
        self._apply("Put", fields)
        return {}

    def _update_item(self, fields: Values) -> Values:
        self._check(fields, fields["Key"])
        self._apply("Update", fields)
        return {"Attributes": self._find(fields, fields["Key"])} if fields.get("ReturnValues") == "ALL_NEW" else {}

    def _delete_item(self, fields: Values) -> Values:
        self._check(fields, fields["Key"])
        old = self._tables[fields["TableName"]].pop(self._key(fields, fields["Key"]), None)
        return {"Attributes": old} if old is not None and fields.get("ReturnValues") == "ALL_OLD" else {}

    def _transact_write_items(self, fields: Values) -> Values:
        token, asked = fields["ClientRequestToken"], json.dumps(fields, sort_keys=True)
        if token in self._done:
            if self._done[token] != asked:
                raise Refused("IdempotentParameterMismatchException")
            return {}
        reasons: list[Values] = []
        for write in fields["TransactItems"]:
            ((kind, its),) = write.items()
            try:
                self._check(its, its["Item"] if kind == "Put" else its["Key"])
                reasons.append({"Code": "None"})
            except Refused as refused:
                reasons.append({"Code": "ConditionalCheckFailed", **refused.fields})
        if any(reason["Code"] != "None" for reason in reasons):
            raise Refused("TransactionCanceledException", CancellationReasons=reasons)
        for write in fields["TransactItems"]:
            ((kind, its),) = write.items()
            self._apply(kind, its)
        self._done[token] = asked
        return {}

    def _query(self, fields: Values) -> Values:
        items = self._tables[fields["TableName"]].values()
        matches = _condition(fields["KeyConditionExpression"], fields)
        keys = self._keys[fields["TableName"]]
        forward = fields.get("ScanIndexForward", True)
        found = sorted(filter(matches, items), key=lambda item: item[keys[-1]]["S"], reverse=not forward)
        assert "ExclusiveStartKey" not in fields, "nobody pages that way but a broadcast to thousands"
        read = found[: fields.get("Limit")]
        kept = (
            list(filter(_condition(fields["FilterExpression"], fields), read)) if "FilterExpression" in fields else read
        )
        answer: Values = {"Items": kept, "Count": len(kept), "ScannedCount": len(read)}
        if read and len(read) == fields.get("Limit"):
            answer["LastEvaluatedKey"] = {key: read[-1][key] for key in keys}
        return answer

    def _apply(self, kind: str, fields: Values) -> None:
        table = self._tables[fields["TableName"]]
        if kind == "Put":
            table[self._key(fields, fields["Item"])] = fields["Item"]
        elif kind == "Update":
            key = self._key(fields, fields["Key"])
            table[key] = _updated(table.get(key, fields["Key"]), fields)
        else:
            assert kind == "ConditionCheck", kind

    def _check(self, fields: Values, key: Item) -> None:
        old = self._find(fields, key)
        if "ConditionExpression" not in fields or _condition(fields["ConditionExpression"], fields)(old or {}):
            return
        told = old is not None and fields.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        raise Refused("ConditionalCheckFailedException", **({"Item": old} if told else {}))

    def _find(self, fields: Values, key: Item) -> Item | None:
        return self._tables[fields["TableName"]].get(self._key(fields, key))

    def _key(self, fields: Values, item: Item) -> tuple[str, ...]:
        return tuple(item[name]["S"] for name in self._keys[fields["TableName"]])


_OPERATIONS: dict[str, Callable[[DynamoDb, Values], Values]] = {
    "CreateTable": DynamoDb._create_table,
    "DeleteTable": DynamoDb._delete_table,
    "GetItem": DynamoDb._get_item,
    "BatchGetItem": DynamoDb._batch_get_item,
    "PutItem": DynamoDb._put_item,
    "UpdateItem": DynamoDb._update_item,
    "DeleteItem": DynamoDb._delete_item,
    "TransactWriteItems": DynamoDb._transact_write_items,
    "Query": DynamoDb._query,
}


def _updated(item: Item, fields: Values) -> Item:
    """The item after `SET a = :a, b = :b REMOVE c`."""
    changed = dict(item)
    sets, _, removes = fields["UpdateExpression"].partition(" REMOVE ")
    for each in sets.removeprefix("SET ").split(", "):
        name, _, value = each.partition(" = ")
        changed[_name(name, fields)] = fields["ExpressionAttributeValues"][value]
    for name in filter(None, removes.split(", ")):
        changed.pop(_name(name, fields), None)
    return changed


def _name(token: str, fields: Values) -> str:
    return fields["ExpressionAttributeNames"][token] if token.startswith("#") else token


def _condition(text: str, fields: Values) -> Test:
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    assert "".join(tokens) == re.sub(r"\s", "", text), text
    rest = iter([*tokens, ""])
    test, end = _either(next(rest), rest, fields)
    assert end == "", text
    return test


def _either(token: str, rest: Iterator[str], fields: Values) -> tuple[Test, str]:
    tests: list[Test] = []
    while True:
        test, token = _all(token, rest, fields)
        tests.append(test)
        if token != "OR":
            return (lambda item: any(each(item) for each in tests)), token
        token = next(rest)


def _all(token: str, rest: Iterator[str], fields: Values) -> tuple[Test, str]:
    tests: list[Test] = []
    while True:
        test, token = _one(token, rest, fields)
        tests.append(test)
        if token != "AND":
            return (lambda item: all(each(item) for each in tests)), token
        token = next(rest)


def _one(token: str, rest: Iterator[str], fields: Values) -> tuple[Test, str]:
    if token == "(":
        test, end = _either(next(rest), rest, fields)
        assert end == ")"
        return test, next(rest)
    if token in ("attribute_exists", "attribute_not_exists"):
        assert next(rest) == "("
        name = _name(next(rest), fields)
        assert next(rest) == ")"
        wanted = token == "attribute_exists"
        return (lambda item: (name in item) == wanted), next(rest)
    name, relation = _name(token, fields), next(rest)
    values: dict[str, Any] = fields["ExpressionAttributeValues"]
    if relation == "BETWEEN":
        low, _, high = values[next(rest)], next(rest), values[next(rest)]
        return (lambda item: _holds(item.get(name), ">=", low) and _holds(item.get(name), "<=", high)), next(rest)
    if relation == "IN":
        assert next(rest) == "("
        options = [values[next(rest)]]
        while next(rest) == ",":
            options.append(values[next(rest)])
        return (lambda item: item.get(name) in options), next(rest)
    value = values[next(rest)]
    return (lambda item: _holds(item.get(name), relation, value)), next(rest)


def _holds(found: Any, relation: str, value: Any) -> bool:
    if found is None or found.keys() != value.keys():
        return relation == "<>"
    a, b = (Decimal(it["N"]) if "N" in it else it["S"].encode() for it in (found, value))
    return {"=": a == b, "<>": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[relation]
