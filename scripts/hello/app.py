"""A page that says hello, with nothing but Python's standard library."""

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = "Hello from gitpaas"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{greeting}</title>
<style>
  :root {{ color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.6 }}
  body {{ max-width: 38rem; margin: 18vh auto 4rem; padding: 0 1.5rem }}
  h1 {{ font-size: 2.4rem; line-height: 1.2; margin-bottom: .5rem }}
  p {{ margin: .4rem 0 }}
  code {{ background: #8883; border-radius: .3rem; padding: .1rem .4rem }}
  small {{ opacity: .65 }}
</style>
<h1>{greeting}</h1>
<p>This is <code>{app}</code>, release <code>{release}</code>, answered by <code>{process}</code>.</p>
<p>Change <code>GREETING</code> in <code>app.py</code>, commit, and <code>git push paas main</code>.</p>
<p><small>{now}</small></p>
</html>
"""


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for a delayed acknowledgement

    def do_GET(self):
        body = page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def page():
    return PAGE.format(
        greeting=GREETING,
        app=os.environ.get("GITPAAS_APP", "hello"),
        release=os.environ.get("GITPAAS_RELEASE", "?"),
        process=os.environ.get("GITPAAS_PROCESS", "?"),
        now=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    )


if __name__ == "__main__":
    # gitpaas says in PORT where to listen; everything that is printed goes to `ssh paas logs hello`.
    # In a container railpack.json sets HOST: what listens on 127.0.0.1 there is reached by nobody else.
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    ThreadingHTTPServer((host, port), Hello).serve_forever()
