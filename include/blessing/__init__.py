"""The verdict on one candidate: values, change against the champion, slices, business rules, calibration."""
