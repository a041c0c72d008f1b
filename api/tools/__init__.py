"""Tools of a chat request: their schemas, the call that is asked for, and the conversation."""
