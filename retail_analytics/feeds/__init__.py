"""The feeds: WHAT flows. One folder a feed; a new feed is a new folder and a line below."""

from __future__ import annotations

from retail_analytics.feeds.declaration import Feed
from retail_analytics.feeds.retail_trans.feed import RETAIL_TRANS

__all__ = ["FEEDS", "Feed", "get_feed"]

FEEDS: tuple[Feed, ...] = (RETAIL_TRANS,)


def get_feed(name: str) -> Feed:
    """The feed of that name.

    Raises:
        KeyError: There is none; the message names those that there are.
    """
    for feed in FEEDS:
        if feed.name == name:
            return feed
    raise KeyError(f"no feed is called {name!r}; there are: {', '.join(feed.name for feed in FEEDS)}")
