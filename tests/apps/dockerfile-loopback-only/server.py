from http.server import BaseHTTPRequestHandler, HTTPServer

ADDRESS = ("127.0.0.1", 5000)


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"nobody hears this\n")

    def log_message(self, *args):
        pass


print("listening on %s:%d" % ADDRESS, flush=True)
HTTPServer(ADDRESS, Answer).serve_forever()
