"""The running stack: a small JSON file says where its parts are, as long as it runs."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from local.access import Access, private

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".local"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running local stack. `home` is its folder; `aws` the endpoint of the embedded AWS, whose key is in `access`."""

    home: str
    url: str
    websocket_url: str
    aws: str
    region: str
    auth_mode: str
    rest_api: str
    websocket_api: str
    stage: str
    outputs: dict[str, str]
    pid: int

    @property
    def access(self) -> Access:
        """Access to the embedded AWS as root, for its owner."""
        return Access.read(Path(self.home))

    @property
    def rest_upstream(self) -> str:
        """The REST stage behind the front door."""
        return f"{self.aws}/_aws/execute-api/{self.rest_api}/{self.stage}"

    @property
    def websocket_upstream(self) -> str:
        """The WebSocket stage behind the front door; @connections is below it too."""
        return f"{self.aws}/_aws/execute-api/{self.websocket_api}/{self.stage}"

    def write(self, home: Path) -> None:
        """Writes the file into `home`, the stack's folder."""
        new = home / "stack.json.new"
        with private(new) as out:
            out.write(json.dumps(asdict(self), indent=2) + "\n")
        new.replace(home / "stack.json")

    @classmethod
    def read(cls, home: Path = HOME) -> Self | None:
        """The stack that runs from the folder `home`, or None."""
        try:
            stack = cls(**json.loads((home / "stack.json").read_text()))
            os.kill(stack.pid, 0)  # signal 0 only checks whether the process exists
        except (FileNotFoundError, ProcessLookupError):
            return None
        return stack
