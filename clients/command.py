"""What the commands have in common: how they read their options, and how they end.

`make` passes its variables on as environment variables (`make erase BOOKING=test`). Without make they are options
(`python -m clients.erase --booking test`). If both are given, the option counts.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from navietakie.domain.errors import Refusal

ENVIRONMENTS: Final = ("local", "staging", "production")


class Failed(Exception):
    """A command cannot do what it was told. The text says why, and what to do."""


@dataclass(frozen=True)
class Option:
    """An option of a command. `example`: how the usage shows it; `default` None: the option is required."""

    name: str
    example: str
    help: str
    default: str | None = ""


BOOKING: Final = Option("booking", "test", "names the conversation", None)
YES: Final = Option("yes", "1", "1: do it without asking")


@dataclass(frozen=True)
class Command:
    """`make NAME`: what it does, and its options; every command also has ENV."""

    name: str
    does: str
    options: tuple[Option, ...] = ()
    instead: str = ""
    """What to do if AWS failed; printed after the reason."""

    @property
    def usage(self) -> str:
        """The command line of make."""
        said = [(f"{it.name.upper()}={it.example}", it.default is None) for it in self.options]
        parts = [text if needed else f"[{text}]" for text, needed in said]
        return " ".join(["make", self.name, *parts, f"[ENV={'|'.join(ENVIRONMENTS)}]"])

    def read(self, argv: Sequence[str]) -> dict[str, str]:
        """The options by name, including `env`. Raises Failed if one is missing. `--help` prints the help and ends."""
        parser = argparse.ArgumentParser(self.name, f"{self.usage}, or with the options below", self.does)
        for it in (*self.options, Option("env", "local", f"which deployment: {', '.join(ENVIRONMENTS)}", "local")):
            default = f" (default: {it.default})" if it.default else ""
            parser.add_argument(
                f"--{it.name}", metavar=it.example, help=f"{it.help}{default}; or the variable {it.name.upper()}"
            )
        given = vars(parser.parse_args(argv))
        read = {name: value or os.environ.get(name.upper()) or "" for name, value in given.items()}
        read["env"] = read["env"] or "local"
        if read["env"] not in ENVIRONMENTS:
            raise Failed(f"ENV is {', '.join(ENVIRONMENTS[:-1])} or {ENVIRONMENTS[-1]}, not {read['env']}")
        for it in self.options:
            if not read[it.name] and it.default is None:
                raise Failed(f"{it.name.upper()} is missing")
            read[it.name] = read[it.name] or it.default or ""
        return read

    def run(self, argv: Sequence[str], act: Callable[[Mapping[str, str]], None]) -> None:
        """Calls `act` with the options. If that fails, ends the program with the reason and the status 1."""
        try:
            told = self.read(argv)
        except Failed as reason:
            sys.exit(f"{reason}\nUsage: {self.usage}")
        try:
            act(told)
        except Failed as reason:
            sys.exit(str(reason))
        except Refusal as refusal:
            sys.exit(f"{refusal}\nUsage: {self.usage}" if refusal.code == "invalid_request" else str(refusal))
        except (BotoCoreError, ClientError) as error:
            sys.exit("\n".join(filter(None, [f"AWS says: {error}", self.instead])))


def whole(told: Mapping[str, str], name: str, least: int, most: int) -> int:
    """The value of an option that is a whole number within bounds. Raises Failed if it is not."""
    text = told[name]
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
        raise Failed(f"{name.upper()} is a whole number from {least:,} to {most:,}, not {text}")
    return int(text)
