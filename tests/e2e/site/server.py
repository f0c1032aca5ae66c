"""The site of the end-to-end tests: says its version, is slow on request, streams, and speaks WebSocket."""

import base64
import hashlib
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

VERSION = Path("version.txt").read_text().strip()
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
begun = []


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for a delayed acknowledgement

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        action = getattr(self, "get_" + url.path.strip("/"), None) if url.path != "/" else self.get_home
        if action is None:
            self.say(404, "the site's own 404")
        else:
            action(query)

    def do_POST(self):
        size = int(self.headers.get("Content-Length", 0))
        digest = hashlib.sha256(self.rfile.read(size)).hexdigest()
        self.say(200, f"{VERSION} {size} {digest}")

    def get_home(self, query):
        self.say(200, VERSION)

    def get_slow(self, query):
        begun.append(query)
        time.sleep(float(query.get("s", "3")))
        self.say(200, VERSION)

    def get_begun(self, query):
        """How many slow ones have begun."""
        self.say(200, str(len(begun)))

    def get_env(self, query):
        self.say(200, json.dumps(dict(os.environ)))

    def get_print(self, query):
        print(query["text"], flush=True)
        self.say(200, "printed")

    def get_pid(self, query):
        self.say(200, f"{os.getpid()} {os.environ['PORT']}")

    def get_crash(self, query):
        os._exit(3)

    def get_read(self, query):
        """What the app's own user may read of the machine."""
        try:
            path = Path(query["path"])
            self.say(200, "\n".join(map(str, path.iterdir())) if path.is_dir() else path.read_text(errors="replace"))
        except OSError as error:
            self.say(403, str(error))

    def get_write(self, query):
        """And where it may write."""
        try:
            Path(query["path"]).write_text(query["text"])
            self.say(200, "written")
        except OSError as error:
            self.say(403, str(error))

    def get_events(self, query):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(int(query.get("n", "50"))):
            self.wfile.write(f"data: {VERSION} {number}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.1)
        self.close_connection = True

    def get_socket(self, query):
        """A WebSocket that echoes short text frames until the other side closes."""
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + WEBSOCKET_GUID).encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return
            mask = self.rfile.read(4)
            body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(head[1] & 127)))
            reply = f"{VERSION} {body.decode()}".encode()
            self.wfile.write(bytes([0x81, len(reply)]) + reply)

    def say(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    print(f"{VERSION} starts as {os.environ.get('GITPAAS_PROCESS')}", flush=True)
    sys.stdout.flush()
    server = ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Site)
    server.daemon_threads = True
    server.serve_forever()
