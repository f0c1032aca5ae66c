"""Git on our side of the door: bare repositories, a commit out of one, its submodules, the hook that a push runs."""
