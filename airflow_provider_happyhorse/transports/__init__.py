"""What sends a call: ``sync`` for workers, ``aio`` for the triggerer, ``download`` for results. Nothing else does HTTP."""
