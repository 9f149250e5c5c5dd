"""What a call cost: `Pricer().price(origin, event)`, in the shipper, one event at a time."""

from usage_tracker.pricing.newer import newest_data
from usage_tracker.pricing.pricer import Pricer
from usage_tracker.pricing.shelf import FollowingPricer, Shelf, StoredBook

__all__ = ["FollowingPricer", "Pricer", "Shelf", "StoredBook", "newest_data"]
