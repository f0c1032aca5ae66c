const { createServer } = require("node:http");

createServer((request, response) => response.end("hello from node\n")).listen(process.env.PORT, "127.0.0.1");
