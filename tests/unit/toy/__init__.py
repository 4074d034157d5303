"""The toy pipeline's own folder: parcels that arrive late or not, as ``tests.unit.factory`` declares them."""
