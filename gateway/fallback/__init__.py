"""Who answers when the first choice cannot."""
