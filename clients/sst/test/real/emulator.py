"""An emulator of AWS on 127.0.0.1:$GATEWAY_PORT: ministack, from PyPI, with one fault mended.

On AWS a route of a WebSocket API that declares no route response sends its caller nothing, whatever
its function returns. ministack 1.5.33 sends the value, which SST's client takes for a message.
"""

import os
import sys

os.environ["BIND_HOST"] = "127.0.0.1"

from ministack.app import main
from ministack.services import apigateway

ROUTE, KIND = 3, 6  # which arguments they are

invoke = apigateway._invoke_ws_lambda


async def invoke_as_aws(*args, **named):
    """The function's answer, without what AWS would keep to itself."""
    answer = await invoke(*args, **named)
    declares = bool((args[ROUTE] or {}).get("routeResponseSelectionExpression"))
    if answer and args[KIND] == "MESSAGE" and not declares:
        return {**answer, "body": ""}
    return answer


apigateway._invoke_ws_lambda = invoke_as_aws
sys.argv = ["ministack"]
main()
