"""Serving on Hypercorn or uvicorn, with bounds on connections and strict framing."""
