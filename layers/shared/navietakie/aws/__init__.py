"""Everything that knows AWS's SDK: its clients, the tables, secrets, the timer queue, the topic."""
