import http from "node:http";

/** The routes and the names of SST's own server; an event that it is left with, it echoes. */
export class Server {
  constructor(opts) {
    this.opts = opts;
    this.lastRequest = {};
    this.printed = [];
    this.onStdOut = { trigger: (line) => this.printed.push(line) };
    this.onStdErr = this.onStdOut;
    this.app = http.createServer((request, response) => this.#route(request, response));
  }

  async #route(request, response) {
    const [, worker, one, , ...rest] = request.url.split("/");
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
    const call = rest.slice(1).join("/");
    if (call === "invocation/next") {
      const { event, context, deadline } = await this.next(worker, one);
      this.lastRequest[worker] = context.awsRequestId;
      response.writeHead(200, {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": context.awsRequestId,
        "Lambda-Runtime-Deadline-Ms": deadline,
        "Lambda-Runtime-Invoked-Function-Arn": context.invokedFunctionArn,
        "Lambda-Runtime-Client-Context": "{}",
        "Lambda-Runtime-Cognito-Identity": "{}",
      });
      return response.end(JSON.stringify(event));
    }
    if (call === "init/error") {
      this.response(one, this.lastRequest[worker], { type: "failure", error: body });
    } else if (rest.at(-1) === "response") {
      this.response(one, rest.at(-2), { type: "success", data: body });
    } else {
      const { errorType, errorMessage, trace } = body;
      const error = { errorType, errorMessage, stackTrace: trace };
      this.response(one, rest.at(-2), { type: "failure", error });
    }
    return response.writeHead(202).end();
  }

  listen() {
    this.app.listen({ port: this.opts.port });
  }

  async invoke({ payload }) {
    return { type: "success", data: { sst: payload.event } };
  }

  async next() {
    return await new Promise(() => {});
  }

  response() {}

  async drain() {}
}
