"""Programs of others that builds need, at exact versions."""
