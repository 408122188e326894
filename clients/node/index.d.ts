/** Asks a project's lambdad daemon to rebuild functions, and waits until they are fresh. */

export interface Location {
  file: string;
  /** Counts from 1. */
  line?: number;
  /** Counts from 1. */
  column?: number;
}

export interface Diagnostic {
  /** Stable: docs/diagnostics.md describes each. */
  code: string;
  severity: "error" | "warning" | "info";
  message: string;
  where?: Location;
  /** What to do next. */
  hint?: string;
}

export interface Live {
  /** The file to load; relative to the project's folder. */
  entry: string;
  /** Python: folders for `sys.path`, first to last. A folder outside of the project is absolute. */
  path: string[];
  /** Changes exactly when a worker must reload. */
  digest: string;
  /**
   * Python: the absolute path of one of the runtime's version, which the dependencies are for; null
   * if this machine has none, and a diagnostic says so.
   */
  interpreter?: string | null;
}

export interface Artifact {
  /** Replaced by rename with every build; relative to the project's folder, as all paths. */
  path: string;
  /** The same file under a name of its own: it never changes. A deploy reads this one. */
  immutable_path: string;
  /** Hex. */
  sha256: string;
  /** Base64, as Lambda's CodeSha256. */
  code_sha256: string;
  /** Bytes. */
  size: number;
  unzipped_size: number;
}

export interface LambdaFunction {
  name: string;
  status: "built" | "failed" | "refused" | "skipped";
  /** Nothing had to be done. */
  cached: boolean;
  /** Why it was built. */
  reasons: string[];
  duration_ms: number;
  diagnostics: Diagnostic[];
  /** It failed for want of something on this machine: that says nothing about the project. */
  machine_fault?: true;
  runtime?: string;
  architecture?: string;
  handler?: string;
  /** There when a live tree was wanted, and the function is built. */
  live?: Live;
  /** There when a zip was wanted; of a function that failed the last good one, if there is one. */
  artifact?: Artifact;
}

export interface Answer {
  schema: 1;
  /** Every function of the request is built or skipped, and nothing is wrong with the project. */
  ok: boolean;
  /** Of the project as a whole. */
  diagnostics: Diagnostic[];
  functions: LambdaFunction[];
  /** What was not done when the time was up. */
  building?: string[];
  /** Of `save`: so many functions more hold the files, and are stale. */
  stale?: number;
  /** Of `save`: a linter could not run, for want of something on this machine. */
  machine_fault?: true;
}

export interface Status {
  schema: 1;
  running: boolean;
  pid?: number;
  version?: string;
  /** The project's folder: absolute. */
  project?: string;
  [more: string]: unknown;
}

export interface DaemonEvent {
  /** "building", "progress", "built" and others to come. */
  event: string;
  /** What was sent, parsed if it is JSON. */
  data: unknown;
  id?: string;
}

export interface Place {
  /** The project's folder. Default: the working directory. */
  project?: string;
  /** The `lambdad` command, or a list of it and its first arguments. Default: LAMBDAD, or "lambdad". */
  command?: string | readonly string[];
  /** The environment of the command, and of a daemon that it starts. Default: this process's. */
  env?: Record<string, string | undefined>;
  /** A person in a terminal makes the requests: from now on the project's own tools may run on every save. */
  typed?: boolean;
}

export interface Limits {
  /** For the whole call, a start of the daemon included; without it a call waits for the build. */
  timeoutMs?: number;
  /** Drops the wait: the call throws the signal's reason, and the build goes on. */
  signal?: AbortSignal;
}

export interface FreshOptions extends Limits {
  /** Something to load on this machine, which is the default, or a zip for Lambda. */
  want?: "live" | "zip";
}

export interface Client {
  readonly project: string;
  /** The function, once no build of it is older than this call. Throws BuildFailed, TimedOut. */
  fresh(name: string, options?: FreshOptions): Promise<LambdaFunction>;
  /** The whole answer for many functions, whether it is ok or not. */
  freshAll(names?: readonly string[] | "all", options?: FreshOptions): Promise<Answer>;
  /**
   * What `lambdad build --json` answers: zips for Lambda, built without a daemon and checked as the
   * project's `lint` says, whether all is well or not.
   */
  build(names?: readonly string[] | "all", limits?: { signal?: AbortSignal }): Promise<Answer>;
  /** Rebuilds what the files touch, up to 8 functions. Paths are absolute or relative to the project's folder. */
  save(files: readonly string[], limits?: Limits): Promise<Answer>;
  /** Of the daemon that runs; `{running: false}` if none does. Starts none. */
  status(limits?: Limits): Promise<Status>;
  /** The version of the `lambdad` command: "0.1.0". Throws DaemonError if there is none. */
  version(limits?: Limits): Promise<string>;
  /** Why the function's last build ran, and what would make it stale. */
  why(name: string, limits?: Limits): Promise<Record<string, unknown>>;
  /** What happens from the first `next` on, until the daemon leaves or the signal fires. */
  events(options?: { signal?: AbortSignal }): AsyncGenerator<DaemonEvent, void, void>;
  /** Returns once the daemon and all that it started are gone. None to stop is fine. */
  stop(): Promise<void>;
  /** Closes idle connections. They keep no process alive: it is not needed before an exit. */
  close(): void;
}

/** A client of one project's daemon, which the first call finds or starts. */
export function connect(place?: Place): Client;

/** As the client's; clients are shared by project. */
export function fresh(name: string, options?: Place & FreshOptions): Promise<LambdaFunction>;

/** As the client's; clients are shared by project. */
export function freshAll(
  names?: readonly string[] | "all",
  options?: Place & FreshOptions,
): Promise<Answer>;

/** Everything that this package throws on its own account. */
export class LambdadError extends Error {
  readonly code: string;
}

/** It is not built. `function.machine_fault` is true if the machine is at fault, not the project. */
export class BuildFailed extends LambdadError {
  readonly code: "build-failed";
  /** The project's own diagnostics, then the function's. */
  readonly diagnostics: Diagnostic[];
  readonly function?: LambdaFunction;
  readonly document: Answer;
}

/** The time was up. */
export class TimedOut extends LambdadError {
  readonly code: "timed-out";
  /** Empty where the daemon itself gave no answer. */
  readonly building: string[];
}

/** The daemon did not take the request; `code` is the problem document's. */
export class RequestError extends LambdadError {
  readonly status: number;
  readonly problem: {
    status: number;
    code: string;
    detail: string;
    title?: string;
    /** Of `unknown-function`: the names of the request that don't exist, and those that do. */
    unknown?: string[];
    known?: string[];
  };
}

/** `no-command`, `no-daemon` or `command-failed`. */
export class DaemonError extends LambdadError {}
