"""The scikit-learn pipeline behind BentoML."""

import bentoml  # type: ignore[import-not-found]

from bench.endpoint.peers.checked import CheckedModel, Split


@bentoml.service(workers=1, traffic={"timeout": 60})
class Flights:
    """One process with the model."""

    def __init__(self) -> None:
        self._model = CheckedModel()

    @bentoml.api(route="/invocations")  # type: ignore[untyped-decorator]
    def invocations(self, dataframe_split: Split) -> dict[str, list[float]]:
        """Score a request."""
        try:
            return {"predictions": self._model.score(dataframe_split)}
        except ValueError as error:
            raise bentoml.exceptions.BadInput(str(error)) from error
