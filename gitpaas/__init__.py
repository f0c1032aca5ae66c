"""A Heroku-style git-push server. Start reading at deploy.py."""

__version__ = "0.1.0"
