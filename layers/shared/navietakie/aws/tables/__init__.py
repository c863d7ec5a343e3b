"""The three DynamoDB tables: every key, every condition, and the way from an item to a model and back."""
