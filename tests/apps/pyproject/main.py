import os
from wsgiref.simple_server import make_server

from greeting import greet

make_server("127.0.0.1", int(os.environ["PORT"]), greet).serve_forever()
