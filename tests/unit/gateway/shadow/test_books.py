"""What the shadow process holds of rollouts goes when they are over."""

import asyncio
from pathlib import Path

from gateway.settings import Settings
from gateway.shadow.process import ShadowProcess
from gateway.shadow.state import ShadowFiles
from registry import rolling_out
from registry.registry import Registry
from tests.builders import AUTHOR, linear_model, publish
from tests.shadow.world import start_shadow


def test_the_book_of_a_rollout_is_kept_until_that_is_over_and_its_sums_stay(
    registry: Registry, tmp_path: Path
) -> None:
    publish(registry, "sum", linear_model())
    publish(registry, "sum", linear_model(2.0), promote=False)
    rollout = start_shadow(registry)
    settings = Settings(data_dir=tmp_path)
    for folder in (settings.journal_dir, settings.summaries_dir):
        folder.mkdir()

    async def scenario() -> None:
        process = ShadowProcess(settings)

        async def settle() -> set[str]:
            process._challengers.refresh()
            await process._settle()
            return set(process._books)

        process._challengers.refresh()
        process._book(rollout).shed("full")
        assert await settle() == {rollout.id}
        rolling_out.pause(registry, rollout.id, "a look", AUTHOR)
        assert await settle() == {rollout.id}
        rolling_out.abort(registry, rollout.id, "no", AUTHOR)
        assert await settle() == set()
        process._inbox.close()
        await process._observation.close()
        process._watchdog.close()
        process._store.close()

    asyncio.run(scenario())
    kept = ShadowFiles(settings.shadow_dir).read(rollout.id)
    assert kept is not None
    assert kept.sheds == {"full": 1}
