"""Shows what the functions log, in readable lines. (`make logs` shows it in another terminal.)"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from local.stack import HOME, Stack

# Fields of a structured line that are shown elsewhere in it, or are the same in every line.
LEFT_OUT = {
    *("level", "location", "message", "timestamp", "service", "cold_start", "function_name", "function_arn"),
    *("function_memory_size", "xray_trace_id", "exception", "exception_name", "stack_trace"),
}


def file_in(home: Path) -> Path:
    """The file to which the workers of the stack in `home` write what functions log: the name, a tab, the line."""
    return home / "functions.log"


async def follow(home: Path, *, from_now: bool = False) -> AsyncGenerator[str]:
    """The lines as they come, made readable."""
    with file_in(home).open() as file:
        if from_now:
            file.seek(0, os.SEEK_END)
        begun = ""
        while True:
            if os.lseek(file.fileno(), 0, os.SEEK_CUR) > os.fstat(file.fileno()).st_size:
                file.seek(0)  # the stack was started again and has emptied the file
            begun += file.read()
            *lines, begun = begun.split("\n")
            for line in lines:
                name, _, message = line.partition("\t")
                if text := readable(message):
                    function = name.removeprefix("navietakie-").removesuffix("-local")
                    yield f"{time.strftime('%H:%M:%S')} {function:<12} {text}"
            await asyncio.sleep(0.2)


def readable(message: str) -> str:
    """A log line for people. Empty for metrics, which CloudWatch removes from the log as well."""
    try:
        fields: Any = json.loads(message)
    except ValueError:
        return message.rstrip()
    if not isinstance(fields, dict):
        return message
    fields = cast(dict[str, Any], fields)
    if "_aws" in fields:
        return ""
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in LEFT_OUT and value is not None)
    line = f"{fields.get('level', ''):<7} {fields.get('message', '')} {rest}".rstrip()
    return "\n".join([line, *(str(fields[each]) for each in ("exception",) if fields.get(each))])


async def show() -> None:
    """Prints the lines of the stack from now on."""
    if Stack.read() is None:
        print("Nothing runs; waiting for `make run`", file=sys.stderr)
    async for line in follow(HOME, from_now=True):
        print(line, flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(show())
    except FileNotFoundError:
        sys.exit("Nothing has run here yet: start it with `make run`")
    except KeyboardInterrupt:
        pass
