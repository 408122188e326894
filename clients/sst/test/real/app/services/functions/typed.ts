import { word } from "../shared";
import pick from "../pick";

export const handler = async (event: { n: number }) => ({ body: `${word} ${pick}`, n: event.n });
