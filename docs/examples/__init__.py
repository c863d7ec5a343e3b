"""Programs to start from: they are tested, and yours to change."""
