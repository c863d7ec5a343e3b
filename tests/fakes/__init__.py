"""Stand-ins for what lies at the edge. Each runs the same contract tests as the real thing."""
