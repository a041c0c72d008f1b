"""What other request formats share that are translated to a chat request."""
