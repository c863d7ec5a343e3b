"""DynamoDB in memory, as far as the functions use it: one request at a time, and an error for all it does not know.

A run of tests/chaos makes the same history here as on the embedded AWS's DynamoDB; a test compares the two.

With a `Lag`, reads that are not strongly consistent show an older state, as AWS may do and no emulator does.
`DynamoDb(OLDEST)` always shows the oldest state, `DynamoDb(lag_of(seed))` one as old as the seed chooses. A world with
a clock of its own gives that clock to `Lag`, with ages in its unit. `settle()` lets all readers see what was written so
far. On the wire, set `wire.dynamodb = DynamoDb(lag)` before the tables are made, or `wire.dynamodb.lag = lag` at any
moment. In tests/integration, use the fixture `lagging`.
"""

import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from threading import Lock
from typing import Any

Item = dict[str, Any]
Key = tuple[str, ...]
Values = dict[str, Any]
Test = Callable[[Item], bool]

_TOKEN = re.compile(r"\s*([#:]?\w+|<>|<=|>=|[=<>(),])")


class Refused(Exception):
    """An error of the service: its code, and the other fields of the answer."""

    def __init__(self, code: str, **fields: Any) -> None:
        super().__init__(code)
        self.code = code
        self.fields = fields


@dataclass(frozen=True)
class Lag:
    """How old the state is that an eventually consistent read may see.

    `age` is called once for each read of a table, because one replica answers it, and once for each item of an index,
    because each write reaches the index by itself. It is in the unit of `clock`; without a clock, in writes.
    """

    age: Callable[[], float]
    clock: Callable[[], float] | None = None


OLDEST = Lag(lambda: math.inf)
"""Eventually consistent reads show nothing that was written since the last `settle()`."""


def lag_of(seed: int, *, probability: float = 0.5, writes: int = 20) -> Lag:
    """Some reads, chosen by the seed, see a state that is some writes old."""
    chance = random.Random(seed)
    return Lag(lambda: chance.randint(1, writes) if chance.random() < probability else 0)


class DynamoDb:
    """Call it with an operation and its fields. Returns the fields of the answer. Raises Refused."""

    def __init__(self, lag: Lag | None = None) -> None:
        self.lag = lag
        self._keys: dict[str, list[str]] = {}
        self._tables: dict[str, dict[Key, Item]] = {}
        self._earlier: dict[str, dict[Key, list[tuple[float, Item | None]]]] = defaultdict(dict)
        """The earlier states of each item, oldest first, and until when each held."""
        self._writes = 0
        self.older_states = 0
        """How many items were shown as they no longer were."""
        self.changed: Callable[[str, Item | None, Item], None] = lambda *_: None
        """Called for each item that is written: its table, the item before, and the item after."""
        self._done: dict[str, str] = {}
        """The request of each ClientRequestToken."""
        self._one_at_a_time = Lock()

    def settle(self) -> None:
        """From now on every read sees at least what was written so far."""
        self._earlier.clear()

    def __call__(self, operation: str, fields: Values) -> Values:
        with self._one_at_a_time:
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
        item = self._seen(fields, self._key(fields, fields["Key"]), self._instant(fields))
        return {} if item is None else {"Item": item}

    def _batch_get_item(self, fields: Values) -> Values:
        there: dict[str, list[Item]] = {}
        for table, wanted in fields["RequestItems"].items():
            asked = {**wanted, "TableName": table}
            found = [self._seen(asked, self._key(asked, key), self._instant(asked)) for key in wanted["Keys"]]
            there[table] = [item for item in found if item is not None]
        return {"Responses": there, "UnprocessedKeys": {}}

    def _scan(self, fields: Values) -> Values:
        assert fields.get("ConsistentRead"), "only tests scan, and they look at what is there"
        items = list(self._tables[fields["TableName"]].values())
        return {"Items": items, "Count": len(items), "ScannedCount": len(items)}

    def _put_item(self, fields: Values) -> Values:
        self._check(fields, fields["Item"])
        self._apply("Put", fields)
        return {}

    def _update_item(self, fields: Values) -> Values:
        self._check(fields, fields["Key"])
        old = self._find(fields, fields["Key"])
        self._apply("Update", fields)
        told = {"ALL_OLD": old, "ALL_NEW": self._find(fields, fields["Key"])}.get(fields.get("ReturnValues", ""))
        return {} if told is None else {"Attributes": told}

    def _delete_item(self, fields: Values) -> Values:
        self._check(fields, fields["Key"])
        old = self._find(fields, fields["Key"])
        self._put(fields, self._key(fields, fields["Key"]), None)
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
        items = self._shown(fields)
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
        if kind == "Put":
            self._put(fields, self._key(fields, fields["Item"]), fields["Item"])
        elif kind == "Update":
            old = self._find(fields, fields["Key"]) or fields["Key"]
            self._put(fields, self._key(fields, fields["Key"]), _updated(old, fields))
        else:
            assert kind == "ConditionCheck", kind

    def _put(self, fields: Values, key: Key, item: Item | None) -> None:
        table = self._tables[fields["TableName"]]
        self._writes += 1
        old = table.get(key)
        self._earlier[fields["TableName"]].setdefault(key, []).append((self._now(), old))
        if item is None:
            table.pop(key, None)
        else:
            table[key] = item
            self.changed(fields["TableName"], old, item)

    def _now(self) -> float:
        return self._writes if self.lag is None or self.lag.clock is None else self.lag.clock()

    def _instant(self, fields: Values) -> float | None:
        """The instant whose state a read sees; None: now."""
        if self.lag is None or fields.get("ConsistentRead"):
            return None
        return self._now() - self.lag.age()

    def _seen(self, fields: Values, key: Key, instant: float | None) -> Item | None:
        """An item as it was at an instant."""
        earlier = [] if instant is None else self._earlier[fields["TableName"]].get(key, [])
        present = self._tables[fields["TableName"]].get(key)
        seen = next((item for until, item in earlier if instant is not None and instant < until), present)
        self.older_states += seen != present
        return seen

    def _shown(self, fields: Values) -> list[Item]:
        """The items among which a query looks."""
        table, earlier = self._tables[fields["TableName"]], self._earlier[fields["TableName"]]
        if self.lag is None or fields.get("ConsistentRead"):
            return list(table.values())
        of_replica = None if "IndexName" in fields else self._instant(fields)
        instants = ((key, self._instant(fields) if of_replica is None else of_replica) for key in {**table, **earlier})
        found = [self._seen(fields, key, instant) for key, instant in instants]
        return [item for item in found if item is not None]

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
    "Scan": DynamoDb._scan,
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
