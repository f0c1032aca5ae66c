import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

ADDRESS = ("0.0.0.0", int(os.environ["PORT"]))
READY = "/tmp/ready"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        ready = os.path.exists(READY)
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(b"healthy\n" if ready else b"warming up\n")

    def log_message(self, *args):
        pass


threading.Timer(2, lambda: open(READY, "w").close()).start()
HTTPServer(ADDRESS, Answer).serve_forever()
