"""What a page has requested, from the log of the browser that opened it."""

import json
from typing import Any

__all__ = ["requested_urls"]


def requested_urls(browser: Any) -> set[str]:
    """Returns the URLs that were requested since the log was read last."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
