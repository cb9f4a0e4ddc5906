"""What every route shares: keys, errors in OpenAI's shape, limits, lists."""
