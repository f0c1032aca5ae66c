import iniconfig


def greet(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"hello from pyproject, {iniconfig.__name__}\n".encode()]
