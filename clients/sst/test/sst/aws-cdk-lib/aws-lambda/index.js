export const Code = { fromAsset: (path) => ({ path }) };
