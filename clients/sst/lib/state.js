/** In place of how SST writes its list of functions, one by one: list.js writes it whole. */

export function reset() {}

export function append() {}
