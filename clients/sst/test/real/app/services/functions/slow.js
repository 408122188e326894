export const handler = async (event) => ({ body: "first", n: event.n });
