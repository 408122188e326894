"""The names of files that describe projects, apart from their readers: those load when needed."""

from __future__ import annotations

from typing import Final

CDK_APP: Final = "cdk.json"
CDK_ASSEMBLY: Final = "cdk.out"
CDK_MANIFEST: Final = "manifest.json"
"""In the assembly's folder."""

SERVERLESS: Final = ("serverless.yml", "serverless.yaml", "serverless.json")
"""In the order in which the framework, too, takes one."""

SST_APP: Final = "sst.json"
SST_LINES: Final = ".sst/functions.jsonl"
"""Of SST 1, and of 0.x from 0.5x on."""
SST_LIST: Final = ".build/lambda-handlers.json"
"""Of SST 0.x."""

NO_ASSEMBLY: Final = ("its cloud assembly is not there", "run cdk synth first: it writes cdk.out")
NO_LIST: Final = (
    "its list of functions is not there",
    f"sst start writes {SST_LINES} ({SST_LIST} before); or declare the functions in a lambdad.toml",
)

NEVER_LISTED: Final = (
    "it writes no list of its functions",
    "declare the functions in a lambdad.toml: lambdad init writes one",
)

CODE: Final = (
    "it is code, which lambdad does not run",
    "write down what it comes to: `serverless print --format json > serverless.printed.json`, and "
    'name that in lambdad.toml: templates = ["serverless.printed.json"]',
)

AWAITED: Final = {
    SST_APP: ("an SST app", *NO_LIST),
    CDK_APP: ("an AWS CDK app", *NO_ASSEMBLY),
    CDK_ASSEMBLY: ("an AWS CDK cloud assembly", *NO_ASSEMBLY),
    "sst.config.js": ("an SST app of version 2 or later", *NEVER_LISTED),
    "sst.config.ts": ("an SST app of version 2 or later", *NEVER_LISTED),
    **{
        f"serverless.{ending}": ("the Serverless Framework's file", *CODE)
        for ending in ("ts", "js", "mjs", "cjs")
    },
}
"""Where these are and no file that is read, another tool is still to write one: what each is, what
it lacks, and what to do."""
