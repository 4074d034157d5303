"""The scikit-learn pipeline behind FastAPI."""

from __future__ import annotations

from fastapi import FastAPI, HTTPException

from bench.endpoint.peers.checked import Body, CheckedModel

app = FastAPI()
model = CheckedModel()


# On the event loop: one request at a time is what one process can do, and a thread for each costs more.
@app.post("/invocations")
async def invocations(body: Body) -> dict[str, list[float]]:
    """Score a request."""
    try:
        return {"predictions": model.score(body.dataframe_split)}
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
