"""A handler that receives what the others receive and computes nothing: the cost of Python's HTTP alone.

python -m benchmarks.serving.empty_server PORT
"""

import sys
from typing import Any

import uvicorn

ANSWER = b'{"model_name":"mlp","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[0.5,0.5]}]}'
HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))],
}
BODY = {"type": "http.response.body", "body": ANSWER}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Bare ASGI."""
    if scope["type"] != "http":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    while (await receive()).get("more_body"):
        pass
    await send(HEAD)
    await send(BODY)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        http="httptools",
        loop="uvloop",
        log_level="error",
        access_log=False,
    )
