"""KServe's own client against a gateway, in an environment that has KServe and nothing of ours.

Usage: kserve_client.py URL TOKEN, with the models `linear`, `two` and `guarded` of the HTTP tests.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

Check = Callable[["Caller"], Awaitable[None]]
_ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


class Caller:
    """The client with the address and the key it uses."""

    def __init__(self, client: InferenceRESTClient, url: str, token: str) -> None:
        self.client, self.url = client, url
        self.headers = {"authorization": f"Bearer {token}"}
        self.answered: dict[str, str] = {}

    async def infer(
        self, model: str, *inputs: InferInput, outputs: Sequence[RequestedOutput] = (), **more: Any
    ) -> Any:
        request = InferRequest(
            model_name=model,
            infer_inputs=list(inputs),
            request_outputs=list(outputs) or None,
            **more,
        )
        self.answered = {}
        return await self.client.infer(
            self.url,
            request,
            model_name=model,
            headers=dict(self.headers),
            response_headers=self.answered,
        )

    async def refusal(self, model: str, *inputs: InferInput, **headers: str) -> str:
        """Return what the client says when it is refused."""
        request = InferRequest(model_name=model, infer_inputs=list(inputs))
        try:
            await self.client.infer(
                self.url, request, model_name=model, headers={**self.headers, **headers}
            )
        except httpx.HTTPStatusError as error:
            return str(error)
        raise AssertionError("it was not refused")


def make_input(name: str, values: np.ndarray, datatype: str, *, binary: bool) -> InferInput:
    given = InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


async def the_server_is_live_and_ready(caller: Caller) -> None:
    assert await caller.client.is_server_live(caller.url) is True
    assert await caller.client.is_server_ready(caller.url) is True


async def a_model_is_ready(caller: Caller) -> None:
    assert await caller.client.is_model_ready(caller.url, "linear", headers=caller.headers)


async def an_unknown_model_is_not_ready(caller: Caller) -> None:
    assert not await caller.client.is_model_ready(caller.url, "none", headers=caller.headers)


async def it_infers_in_json(caller: Caller) -> None:
    answer = await caller.infer(
        "linear", make_input("x", _ROWS, "FP32", binary=False), request_id="7"
    )

    assert (answer.model_name, answer.id) == ("linear", "7")
    assert answer.parameters["record_id"]
    np.testing.assert_array_equal(answer.outputs[0].as_numpy(), [[6], [15]])


async def it_infers_from_bytes(caller: Caller) -> None:
    answer = await caller.infer("linear", make_input("x", _ROWS, "FP32", binary=True))

    np.testing.assert_array_equal(answer.outputs[0].as_numpy(), [[6], [15]])


async def it_infers_from_bytes_to_bytes(caller: Caller) -> None:
    wanted = RequestedOutput("y", parameters={"binary_data": True})

    answer = await caller.infer(
        "linear", make_input("x", _ROWS, "FP32", binary=True), outputs=[wanted]
    )

    assert "inference-header-content-length" in caller.answered
    np.testing.assert_array_equal(answer.outputs[0].as_numpy(), [[6], [15]])


async def it_mixes_texts_and_bytes(caller: Caller) -> None:
    distance = make_input("distance", np.array([[1.5]], np.float32), "FP32", binary=True)
    carrier = make_input("carrier", np.array([["ÄA"]], object), "BYTES", binary=False)

    answer = await caller.infer("two", distance, carrier)

    assert answer.get_output_by_name("d").as_numpy().tolist() == [[1.5]]
    assert answer.get_output_by_name("c").data == ["ÄA"]


async def it_shows_the_sentence_of_a_refusal(caller: Caller) -> None:
    values = np.array([[99, 0, 0]], np.float32)

    for binary in (False, True):
        said = await caller.refusal("guarded", make_input("x", values, "FP32", binary=binary))
        assert "range of the contract" in said, said
        assert "'x', row 0" in said, said
        assert "400" in said, said


async def it_shows_that_a_model_is_unknown(caller: Caller) -> None:
    said = await caller.refusal("none", make_input("x", _ROWS, "FP32", binary=False))

    assert "none" in said, said
    assert "404" in said, said


async def it_shows_that_a_key_is_missing(caller: Caller) -> None:
    given = make_input("x", _ROWS, "FP32", binary=False)

    for authorization in ("", "Bearer nothing"):
        said = await caller.refusal("linear", given, authorization=authorization)
        assert "Send a valid key" in said, said
        assert "401" in said, said


CHECKS: Sequence[Check] = (
    the_server_is_live_and_ready,
    a_model_is_ready,
    an_unknown_model_is_not_ready,
    it_infers_in_json,
    it_infers_from_bytes,
    it_infers_from_bytes_to_bytes,
    it_mixes_texts_and_bytes,
    it_shows_the_sentence_of_a_refusal,
    it_shows_that_a_model_is_unknown,
    it_shows_that_a_key_is_missing,
)


async def main(url: str, token: str) -> int:
    """Run every check, print how each ended, and return how many failed."""
    failed = 0
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        caller = Caller(client, url, token)
        for check in CHECKS:
            try:
                await check(caller)
            except Exception as error:  # noqa: BLE001 - whatever a client raises is what we report
                failed += 1
                print(f"failed {check.__name__}: {error!r}")
            else:
                print(f"passed {check.__name__}")
    return failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
