"""Draws the call's states into docs/calls.md, from the table that decides."""

from collections import defaultdict

from navietakie.call import TABLE

BEGIN = "<!-- From here to the next mark drawn by `make docs` from the table in navietakie/call.py. -->"
END = "<!-- Here it ends. -->"


def diagram() -> str:
    """The states and what leads from one to the other, as Mermaid draws them."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (state, event, role), (after, end_reason) in TABLE.items():
        label = f"{event} by {role}" + (f" → {end_reason}" if end_reason else "")
        arrows[state or "[*]", after].append(label)
    lines = [f"    {before} --> {after}: {'<br/>'.join(labels)}" for (before, after), labels in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    direction LR", *lines, "    ended --> [*]", "```"])


def rows() -> str:
    """The same as a table."""
    lines = [
        f"| {state or '–'} | `{event}` | {role} | {after} | {f'`{end_reason}`' if end_reason else ''} |"
        for (state, event, role), (after, end_reason) in TABLE.items()
    ]
    return "\n".join(["| from | event | by | to | end reason |", "| --- | --- | --- | --- | --- |", *lines])


def drawn(page: str) -> str:
    """The page with what stands between the marks drawn anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{diagram()}\n\n{rows()}\n\n{END}{after}"
