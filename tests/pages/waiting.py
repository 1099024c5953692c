"""Running what is asynchronous from tests beside a browser, which has a loop of its own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor


def waited_for(coroutine):
    """Its result, from a loop in another thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
