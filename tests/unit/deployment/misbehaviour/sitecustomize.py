"""Makes a candidate misbehave, and nothing else: read by every Python process whose PYTHONPATH names this folder.

MISBEHAVE is "<how>:<answers before it begins>". The real serving program answers through the model that is changed
here, so a sound model passes the sandbox and fails as a candidate in production, which is what has to be caught.
"""

import os
import sys


def _misbehave(how: str, after: int) -> None:
    import signal
    import time

    from include.serving import invocations
    from include.serving.answers import Answer
    from include.serving.model import ServedModel

    predict = ServedModel.predict
    score_body = invocations.score_body
    calls = 0
    eaten: list[bytearray] = []

    def predict_badly(model: ServedModel, request: object) -> list[float]:
        nonlocal calls
        calls += 1
        predictions = predict(model, request)  # type: ignore[arg-type]
        if calls <= after:
            return predictions
        if how == "raise" and calls % 2:
            raise ValueError("a made-up failure")
        if how == "sleep":
            time.sleep(5)
        if how == "shift":
            return [0.5 * p + 0.5 for p in predictions]
        if how == "nonsense":
            return [7.5 for _ in predictions]
        if how == "certain":
            return [1.0 for _ in predictions]
        if how == "nan":
            return [float("nan") for _ in predictions]
        if how == "rows":
            return [*predictions, 0.5]
        if how == "eat":
            eaten.append(bytearray(b"x") * 1_000_000 * int(os.environ.get("MISBEHAVE_MB", "20")))
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return predictions

    def score_garbage(*arguments: object) -> Answer:
        answer = score_body(*arguments)  # type: ignore[arg-type]
        return Answer(200, b"<html>") if calls > after else answer

    ServedModel.predict = predict_badly  # type: ignore[method-assign]
    if how == "garbage":
        invocations.score_body = score_garbage  # type: ignore[assignment]


# A candidate beside its champion, or, when it is said so, one in the sandbox or under the latency gate.
_place = os.environ.get("MISBEHAVE_AT", "--uds")
if _place in sys.orig_argv and os.environ.get("MISBEHAVE"):
    _how, _, _after = os.environ["MISBEHAVE"].partition(":")
    _misbehave(_how, int(_after or 0))
