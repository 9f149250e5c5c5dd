"""What a call cost: `Pricer().price(origin, event)`, in the shipper, one event at a time.

`lists` finds the price list, `rates`, of a call's `occasion`: in a price `book`, in `genai`, in our `own` table or in
`litellm_map`. `bill` bills the call by it, and `plain` many calls that are alike.
"""

from usage_tracker.pricing.newer import newest_data
from usage_tracker.pricing.pricer import Pricer
from usage_tracker.pricing.shelf import FollowingPricer, Shelf, StoredBook

__all__ = ["FollowingPricer", "Pricer", "Shelf", "StoredBook", "newest_data"]
