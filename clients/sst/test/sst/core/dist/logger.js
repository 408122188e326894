export const getChildLogger = () => ({ info: (line) => console.error(line) });
