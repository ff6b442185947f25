"""What a machine is like, tried out on it: versions, limits, storage, what holds memory."""
