"""Both flavours of the protocol's most used client, called in the same way."""

import asyncio
import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

with warnings.catch_warnings():
    # What the client's own dependencies still use is not ours to mend.
    warnings.simplefilter("ignore")
    import tritonclient.http as plain
    from tritonclient.http import InferenceServerClientPlugin as Plugin
    from tritonclient.http import InferInput, InferRequestedOutput, InferResult, aio
    from tritonclient.utils import InferenceServerException

FLAVOURS = {"plain": plain.InferenceServerClient, "aio": aio.InferenceServerClient}
PARALLEL = 4

__all__ = [
    "FLAVOURS",
    "InferInput",
    "InferRequestedOutput",
    "InferResult",
    "InferenceServerException",
    "Server",
    "make_input",
    "open_server",
]


class _Key(Plugin):  # type: ignore[misc]
    """Brings the caller's key with every request, as the client's users do it."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._authorization = f"Bearer {token}"

    def __call__(self, request: Any) -> None:
        request.headers["authorization"] = self._authorization


class Server:
    """The gateway as a client sees it: every call of the client, whichever flavour it has."""

    def __init__(self, flavour: str, url: str, token: str) -> None:
        self.flavour = flavour
        self._runner = asyncio.Runner()
        address = url.removeprefix("http://")
        self.client = (
            self._finish(self._open(address)) if flavour == "aio" else self._plain(address)
        )
        self._key = _Key(token)
        self.client.register_plugin(self._key)

    def __getattr__(self, call: str) -> Any:
        return lambda *given, **named: self._finish(getattr(self.client, call)(*given, **named))

    def infer_together(self, calls: list[dict[str, Any]]) -> list[Any]:
        """Have several requests under way at the same time."""
        if self.flavour == "plain":
            begun = [self.client.async_infer(**call) for call in calls]
            return [one.get_result() for one in begun]

        async def gather() -> list[Any]:
            return await asyncio.gather(*(self.client.infer(**call) for call in calls))

        return self._runner.run(gather())

    @contextmanager
    def without_key(self) -> Iterator[None]:
        assert self.client.plugin() is self._key
        self.client.unregister_plugin()
        yield
        self.client.register_plugin(self._key)

    def close(self) -> None:
        self._finish(self.client.close())
        self._runner.close()

    def _finish(self, result: Any) -> Any:
        return self._runner.run(result) if inspect.iscoroutine(result) else result

    @staticmethod
    def _plain(address: str) -> Any:
        return plain.InferenceServerClient(address, concurrency=PARALLEL)

    @staticmethod
    async def _open(address: str) -> Any:
        return aio.InferenceServerClient(address)  # which needs a running loop


@contextmanager
def open_server(flavour: str, url: str, token: str) -> Iterator[Server]:
    server = Server(flavour, url, token)
    try:
        yield server
    finally:
        server.close()


def make_input(name: str, datatype: str, values: Any, *, is_binary: bool = True) -> Any:
    given = InferInput(name, list(np.shape(values)), datatype)
    given.set_data_from_numpy(values, binary_data=is_binary)
    return given
