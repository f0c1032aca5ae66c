"""The one BuildKit daemon of a state directory, and what is asked of it."""
