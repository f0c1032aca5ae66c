import os
from http.server import BaseHTTPRequestHandler, HTTPServer

ADDRESS = ("0.0.0.0", int(os.environ["PORT"]))


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from a Dockerfile\n")

    def log_message(self, *args):
        pass


print("listening on %s:%d" % ADDRESS, flush=True)
HTTPServer(ADDRESS, Answer).serve_forever()
