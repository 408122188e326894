import http from "node:http";

const call = (method, path, body) =>
  new Promise((resolve, reject) => {
    const url = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/${path}`;
    const request = http.request(url, { method }, async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({ headers: response.headers, text: Buffer.concat(chunks).toString() });
    });
    request.on("error", reject).end(body && JSON.stringify(body));
  });

export async function run(handler) {
  for (;;) {
    const { headers, text } = await call("GET", "invocation/next");
    const id = headers["lambda-runtime-aws-request-id"];
    try {
      const answer = await handler(JSON.parse(text), { awsRequestId: id });
      await call("POST", `invocation/${id}/response`, answer ?? null);
    } catch ({ name, message, stack }) {
      const fault = { errorType: name, errorMessage: message, trace: stack.split("\n") };
      await call("POST", `invocation/${id}/error`, fault);
    }
  }
}
