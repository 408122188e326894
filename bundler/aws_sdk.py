"""Which npm packages Lambda's Node.js runtimes bring along: the AWS SDK, and nothing else.

Sources: AWS Lambda Developer Guide, "Building Lambda functions with Node.js" (v2 up to
nodejs16.x, v3 after); aws/aws-sdk-js-v3 issues 4401 (util-utf8 is not there), 6169 and reports of
the nodejs22.x image (@smithy lies inside the SDK's own node_modules, out of a function's reach).
"""

from __future__ import annotations

from typing import Final

from lambdad.bundler.model import Diagnostic, Language, Location, Runtime, error

V2: Final = "aws-sdk"
FIRST_WITH_V3: Final = (18,)

SCOPE: Final = "@aws-sdk/"

LACKING: Final = frozenset(
    SCOPE + name
    for name in (
        # These need the native aws-crt, which the images have not.
        "crt-loader", "signature-v4-crt",
        # Since SDK 3.363 these are @smithy's; the images hold later versions.
        "abort-controller", "config-resolver", "credential-provider-imds", "eventstream-codec",
        "eventstream-serde-node", "fetch-http-handler", "hash-node", "hash-stream-node",
        "invalid-dependency", "is-array-buffer", "md5-js", "middleware-content-length",
        "middleware-endpoint", "middleware-retry", "middleware-serde", "middleware-stack",
        "node-config-provider", "node-http-handler", "property-provider", "protocol-http",
        "querystring-builder", "querystring-parser", "service-error-classification",
        "shared-ini-file-loader", "signature-v4", "smithy-client", "url-parser", "util-base64",
        "util-body-length-node", "util-buffer-from", "util-config-provider",
        "util-defaults-mode-node", "util-hex-encoding", "util-middleware", "util-retry",
        "util-stream", "util-stream-node", "util-uri-escape", "util-utf8", "util-utf8-node",
        "util-waiter",
    )
)  # fmt: skip
"""Published under the SDK's scope, and not to be counted on in any image."""


def provided(runtime: Runtime, package: str) -> bool:
    """Whether code on that runtime can load the package ("@aws-sdk/client-s3") undeclared."""
    if runtime.language is not Language.JAVASCRIPT:
        return False
    if runtime.version < FIRST_WITH_V3:
        return package == V2
    return package.startswith(SCOPE) and package not in LACKING


def v2_missing(runtime: Runtime, where: Location, install: str) -> Diagnostic:
    """The one message about code that loads the SDK's v2 where only v3 is; `install` adds it."""
    return error(
        "aws-sdk-v2-missing",
        f'{where.file} loads "{V2}" (version 2), which {runtime.name} does not bring along',
        where,
        f"move to the @aws-sdk/client-* packages (version 3), or add it: {install}",
    )
