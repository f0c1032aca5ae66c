from http.server import BaseHTTPRequestHandler, HTTPServer

ADDRESS = ("0.0.0.0", 8123)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from port 8123\n")

    def log_message(self, *args):
        pass


print("listening on %s:%d" % ADDRESS, flush=True)
HTTPServer(ADDRESS, Answer).serve_forever()
