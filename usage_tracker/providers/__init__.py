"""What requests and answers say, by SDK: pure functions on plain JSON, dicts or SDK objects. No SDK is imported."""
