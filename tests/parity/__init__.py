"""One conversation, one list of token ids: whoever renders it."""
