import os
from wsgiref.simple_server import make_server

import iniconfig


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"hello from uv.lock, {iniconfig.__name__}\n".encode()]


make_server("127.0.0.1", int(os.environ["PORT"]), app).serve_forever()
