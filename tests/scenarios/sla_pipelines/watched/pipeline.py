"""The flights, with limits that a training of seconds keeps and one that hangs does not (S6, S15)."""

from __future__ import annotations

from include.declaration import Candidate, Change, Notifier, Sla
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("watched", 0, change=Change(metric="roc_auc", margin=0.5), slices=())
_CANDIDATE = Candidate(name="trees", kind="custom", function="estimators:build_trees")
PIPELINE = _VARIANT.model_copy(
    update={
        "package": "",
        "training": _VARIANT.training.model_copy(update={"candidates": (_CANDIDATE,)}),
        "sla": Sla(
            train_model="60s",
            tasks={"train_model.fit_candidate": "2 × usual", "train_model.prepare_training_set": "60s"},
            refresh_to_served="90s",
            usual_runs=2,
            usual_margin="8s",
            notifiers=(
                Notifier(
                    name="airflow.providers.smtp.notifications.smtp:SmtpNotifier",
                    arguments={
                        "to": "chat@example.com",
                        "subject": "beside the mail: {{ tollgate.subject }}",
                        "html_content": "{{ tollgate.text }} {{ tollgate.url }}",
                    },
                ),
            ),
        ),
    }
)
