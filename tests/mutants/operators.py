"""The kinds of changes: cosmic-ray's operators that matter here, and ours for AWS requests, expressions and tables."""

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import cosmic_ray.plugins
import parso
from cosmic_ray.operators.operator import Example, Operator

Position = tuple[tuple[int, int], tuple[int, int]]

COMPARISONS = {
    "Eq": ("NotEq",),
    "NotEq": ("Eq",),
    "Lt": ("LtE", "GtE"),
    "LtE": ("Lt", "Gt"),
    "Gt": ("GtE", "LtE"),
    "GtE": ("Gt", "Lt"),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
}
"""Each comparison becomes its neighbour at the boundary, and its opposite."""
ARITHMETIC = {
    "Add": ("Sub",),
    "Sub": ("Add",),
    "Mul": ("FloorDiv",),
    "Div": ("Mul",),
    "FloorDiv": ("Mul",),
    "Mod": ("Mul",),
    "BitOr": ("BitAnd",),
    "BitAnd": ("BitOr",),
}
CORE = (
    *(f"ReplaceComparisonOperator_{a}_{b}" for a, others in COMPARISONS.items() for b in others),
    *(f"ReplaceBinaryOperator_{a}_{b}" for a, others in ARITHMETIC.items() for b in others),
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_USub_UAdd",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "NumberReplacer",
    "ZeroIterationForLoop",
)


class _Replacing(Operator):
    """Replaces a node by each of the texts that `variants` gives for it."""

    @abstractmethod
    def variants(self, node: Any) -> Sequence[str]:
        """The texts that may stand for `node`."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        for _ in self.variants(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return _parsed(node, self.variants(node)[index])


OPPOSITE = {"=": "<>", "<>": "=", "<=": ">", ">": "<=", "<": ">=", ">=": "<"}
BESIDE = {"=": "<>", "<>": "=", "<=": "<", "<": "<=", ">=": ">", ">": ">="}


class ExpressionPart(_Replacing):
    """Removes a part of a DynamoDB expression, or changes it.

    A part is removed by its opposite: `a = :a` becomes `(a = :a OR a <> :a)`. So all values are still used, and
    DynamoDB does not refuse the request because of its form.
    """

    _there = re.compile(r"(attribute_exists|attribute_not_exists)(\([#\w{}]+\))")
    _compared = re.compile(r"(?<![\w#{}])([#{]?\w+}?) (=|<>|<=|>=|<|>) (:\w+)")
    _joined = re.compile(r"(?<!:low) (AND|OR) ")

    def variants(self, node: Any) -> Sequence[str]:
        if node.type not in ("string", "fstring"):
            return ()
        code = node.get_code(include_prefix=False)
        if "BETWEEN" in code or code.startswith(('"""', 'r"""')) or "KeyCondition" in code:
            return ()
        if re.match(r'f?"(SET|REMOVE) ', code):
            return self._of_update(code)
        found: list[str] = []
        for match in self._there.finditer(code):
            other = "attribute_exists" if match[1] == "attribute_not_exists" else "attribute_not_exists"
            found += [_put(code, match, f"{other}{match[2]}"), _put(code, match, f"({match[0]} OR {other}{match[2]})")]
        for match in self._compared.finditer(code):
            name, relation, value = match.groups()
            found.append(_put(code, match, f"{name} {BESIDE[relation]} {value}"))
            found.append(_put(code, match, f"({match[0]} OR {name} {OPPOSITE[relation]} {value})"))
        if found:
            found += [_put(code, it, " OR " if it[1] == "AND" else " AND ") for it in self._joined.finditer(code)]
        return found

    def _of_update(self, code: str) -> Sequence[str]:
        parts = code[:-1].split(", ")
        without = [", ".join(parts[:at] + parts[at + 1 :]) + '"' for at in range(1, len(parts))]
        return [*without, *([code.replace(" REMOVE metadata", "")] if " REMOVE metadata" in code else [])]

    @classmethod
    def examples(cls) -> Sequence[Example]:
        code = 'x = "a = :a AND attribute_not_exists(b)"'
        return (
            Example(code, 'x = "a = :a AND attribute_exists(b)"', occurrence=0),
            Example(code, 'x = "a = :a AND (attribute_not_exists(b) OR attribute_exists(b))"', occurrence=1),
            Example(code, 'x = "a <> :a AND attribute_not_exists(b)"', occurrence=2),
            Example(code, 'x = "(a = :a OR a <> :a) AND attribute_not_exists(b)"', occurrence=3),
            Example(code, 'x = "a = :a OR attribute_not_exists(b)"', occurrence=4),
            Example('x = "SET a = :a, b = :b"', 'x = "SET a = :a"'),
        )


class DropArgument(_Replacing):
    """Leaves out one keyword argument of a call: of a request to AWS, or of a call of our own."""

    def variants(self, node: Any) -> Sequence[str]:
        if node.type != "trailer" or node.children[0].value != "(" or len(node.children) != 3:
            return ()
        inside = node.children[1]
        given = inside.children[::2] if inside.type == "arglist" else [inside]
        texts = [each.get_code(include_prefix=False) for each in given]
        named = [at for at, each in enumerate(given) if each.type == "argument" and _is(each.children[1], "=")]
        return [f"({', '.join(texts[:at] + texts[at + 1 :])})" for at in named]

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (
            Example("get(Key=a, ConsistentRead=True)", "get(Key=a)", occurrence=1),
            Example("get(a, b=1)", "get(a)"),
        )


class DropEntry(_Replacing):
    """Leaves out one entry of a dictionary: a field of a request, a header, a transition."""

    def variants(self, node: Any) -> Sequence[str]:
        if node.type != "atom" or node.children[0].value != "{" or len(node.children) != 3:
            return ()
        inside = node.children[1]
        if inside.type != "dictorsetmaker" or any(
            child.type in ("comp_for", "sync_comp_for") for child in inside.children
        ):
            return ()
        entries, entry = list[str](), list[Any]()
        for child in inside.children:
            if _is(child, ","):
                entries.append(_joined(entry))
                entry = []
            else:
                entry.append(child)
        entries += [_joined(entry)] if entry else []
        pairs = [at for at, text in enumerate(entries) if re.match(r'f?["(]', text)]
        return [f"{{{', '.join(entries[:at] + entries[at + 1 :])}}}" for at in pairs]

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (
            Example('x = {"Keys": a, "ConsistentRead": True}', 'x = {"Keys": a}', occurrence=1),
            Example('x = {("a", "b"): c, **d}', "x = {**d}"),
        )


class SwapInTable(_Replacing):
    """In a table of tuples replaces a text by another of the same column: another state, event, role or reason."""

    def variants(self, node: Any) -> Sequence[str]:
        place = _place_in_table(node)
        if place is None:
            return ()
        column, key = place
        entries = [child for child in node.parent.parent.parent.children if child.type == "atom"]
        rows = [entry.children[1].children[::2] for entry in entries[0 if key else 1 :: 2]]
        others = sorted({row[column].value for row in rows if row[column].type == "string"} - {node.value})
        return others[:2]

    @classmethod
    def examples(cls) -> Sequence[Example]:
        code = 'x = {("a", "b"): ("c", None), ("d", "b"): ("e", None)}'
        return (Example(code, 'x = {("d", "b"): ("c", None), ("d", "b"): ("e", None)}'),)


def _place_in_table(node: Any) -> tuple[int, bool] | None:
    row = node.parent
    if node.type != "string" or row is None or row.type != "testlist_comp" or row.parent.type != "atom":
        return None
    maker = row.parent.parent
    if maker is None or maker.type != "dictorsetmaker" or any(child.type == "dict" for child in maker.children):
        return None
    atoms = [child for child in maker.children if child.type == "atom"]
    if len(atoms) < 4 or any(len(atom.children) != 3 for atom in atoms):
        return None
    return row.children.index(node) // 2, atoms.index(row.parent) % 2 == 0


class DropStatement(_Replacing):
    """Does nothing in place of a call, a raise, a yield, or an early return."""

    def variants(self, node: Any) -> Sequence[str]:
        bare = node.type == "keyword" and node.value == "return" and node.parent.type != "return_stmt"
        if node.type == "return_stmt" or bare:
            return ("pass",) if _is_nested(node) else ()
        if node.type in ("raise_stmt", "yield_expr") and node.parent.type == "simple_stmt":
            return ("pass",)
        called = node.type == "atom_expr" or node.type == "power"
        return ("pass",) if called and node.parent.type == "simple_stmt" else ()

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (
            Example("check(a)\n", "pass\n"),
            Example(
                "def f():\n    if a:\n        return b\n    return c\n",
                "def f():\n    if a:\n        pass\n    return c\n",
            ),
        )


class CatchNothing(_Replacing):
    """Lets an exception pass instead of catching it."""

    def variants(self, node: Any) -> Sequence[str]:
        caught = node.parent is not None and node.parent.type == "except_clause" and node.parent.children[1] is node
        return ("()",) if caught else ()

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (Example("try:\n    a()\nexcept B as b:\n    c()\n", "try:\n    a()\nexcept () as b:\n    c()\n"),)


class ReturnNone(_Replacing):
    """Returns None instead of a value."""

    def variants(self, node: Any) -> Sequence[str]:
        if node.type != "return_stmt" or node.children[1].get_code().strip() == "None":
            return ()
        return ("return None",)

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (Example("def f():\n    return a\n", "def f():\n    return None\n"),)


class SwapMembership(_Replacing):
    """Replaces `in` by `not in`, and the other way round."""

    def variants(self, node: Any) -> Sequence[str]:
        if node.type == "comp_op" and node.get_code().split() == ["not", "in"]:
            return ("in",)
        compares = node.type == "keyword" and node.value == "in" and node.parent.type == "comparison"
        return ("not in",) if compares else ()

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return (Example("a in b", "a not in b"), Example("a not in b", "a in b"))


OURS = (ExpressionPart, DropArgument, DropEntry, SwapInTable, DropStatement, CatchNothing, ReturnNone, SwapMembership)
_PROVIDER = cosmic_ray.plugins.OPERATOR_PROVIDERS["core"]
OPERATORS: dict[str, Operator] = {
    **{name: _PROVIDER[name]() for name in CORE},
    **{operator.__name__: operator() for operator in OURS},
}


def _is_nested(node: Any) -> bool:
    """Whether a return is one of several: in a branch or a loop, not at the end of its function."""
    suite = node.parent.parent
    return suite is not None and suite.parent is not None and suite.parent.type != "funcdef"


def _parsed(node: Any, text: str) -> Any:
    parsed = parso.parse(f"{node.get_first_leaf().prefix}{text}")
    parsed.children = [child for child in parsed.children if child.type != "endmarker"]
    parsed.parent = node.parent
    return parsed


def _joined(entry: list[Any]) -> str:
    return "".join(child.get_code() for child in entry).strip()


def _is(node: Any, value: str) -> bool:
    return getattr(node, "value", None) == value


def _put(code: str, match: re.Match[str], text: str) -> str:
    return code[: match.start()] + text + code[match.end() :]
