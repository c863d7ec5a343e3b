"""What the lists of changes that make no difference say is about code that is still there."""

from pathlib import Path

import pytest

from tests.mutants.finding import ROOT, files, source
from tests.mutants.reporting import Entry, entries

CLIENT = [str(file.relative_to(ROOT)) for file in (ROOT / "web/navietakie").glob("*.js")]
LISTED = entries() + entries(Path(__file__).parent / "client/equivalent.toml")


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry.was[:40])
def test_an_entry_is_about_lines_that_are_there_and_gives_a_reason(entry: Entry) -> None:
    sources = [source(file) for file in files() + CLIENT if file.endswith(entry.file)]
    texts = [" ".join(map(str.strip, text.splitlines())) for text in sources]
    assert any(entry.was in text for text in texts)
    assert len(entry.because) > 20
