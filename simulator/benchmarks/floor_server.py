"""The real server with one more route, the floor: it decodes a decision request and answers a constant.

What the floor does per second is what this HTTP server, framework and decoder allow on this machine before any
decision is made or stored. Run by the benchmarks as `python -m simulator.benchmarks.floor_server`.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from bandit.api.body import answer
from bandit.decide import DecisionRequest
from bandit.wiring import listen, open_app, serve

FLOOR = "/floor"
_CONSTANT = {"status": "ok"}
_decoder = msgspec.json.Decoder(DecisionRequest)


async def floor(request: Any) -> Any:  # noqa: ANN401 - the framework's types stay inside bandit.api
    """Decode the body and answer a constant."""
    _decoder.decode(await request.body())
    return answer(201, _CONSTANT)


def main(
    data: Annotated[Path, typer.Option(help="The data folder.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")],
    port: Annotated[int, typer.Option(help="The port to listen on.")],
) -> None:
    """Serve as `honeyguide serve` does, and the floor."""
    with open_app(data) as app, listen(host, port) as listener:
        app.add_route(FLOOR, floor, methods=["POST"])
        # Routes are tried in order: the floor must not pay for those that it is compared with.
        app.router.routes.insert(0, app.router.routes.pop())
        serve(app, listener)


if __name__ == "__main__":
    typer.run(main)
