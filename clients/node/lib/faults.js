/** The errors that a call can throw. Each has a stable `code`. */

export class LambdadError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** Not built: `diagnostics` say what is wrong, where, and what to do next. */
export class BuildFailed extends LambdadError {
  constructor(name, document) {
    const found = document.functions.find((item) => item.name === name);
    const faults = [...document.diagnostics, ...(found?.diagnostics ?? [])];
    super("build-failed", [`${name} ${endingOf(found)}`, ...faults.map(line)].join("\n  "));
    this.function = found;
    this.diagnostics = faults;
    this.document = document;
  }
}

/** The time was up; `building` names what was not done, and is empty if the daemon gave no answer. */
export class TimedOut extends LambdadError {
  constructor(building) {
    super("timed-out", `the time is up; still building: ${building.join(", ") || "not known"}`);
    this.building = building;
  }
}

/** The daemon did not take the request: `code` and `problem` are its own (RFC 9457). */
export class RequestError extends LambdadError {
  constructor(problem) {
    const known = problem.known ? `; there are: ${problem.known.join(", ") || "none"}` : "";
    super(problem.code ?? "problem", `${problem.detail ?? problem.title}${known}`);
    this.status = problem.status;
    this.problem = problem;
  }
}

/** No daemon could be reached or started, or there is no `lambdad` command. */
export class DaemonError extends LambdadError {}

/** The connection broke before the whole answer was here. Never leaves this package. */
export class Lost extends Error {}

// A function that is built, or not in the answer, failed by a fault of the whole project.
function endingOf(found) {
  return found === undefined || found.status === "built" ? "can't be answered for" : found.status;
}

function line({ severity, code, message, where }) {
  const numbers = where
    ? [where.file, where.line, where.column].filter((part) => part != null)
    : [];
  const place = numbers.length ? `${numbers.join(":")}: ` : "";
  return `${place}${severity}[${code}] ${message}`;
}
