"""What `equivalent.toml` says is about code that is still there."""

import pytest

from tests.mutants.finding import files, source
from tests.mutants.reporting import Entry, entries


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.was[:40])
def test_an_entry_is_about_lines_that_are_there_and_gives_a_reason(entry: Entry) -> None:
    texts = [" ".join(map(str.strip, source(file).splitlines())) for file in files() if file.endswith(entry.file)]
    assert any(entry.was in text for text in texts)
    assert len(entry.because) > 20
