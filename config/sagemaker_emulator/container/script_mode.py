"""What stands for the framework's own part of a training image: it runs the user's script and keeps its last error.

SAGEMAKER_TRAINING_MODULE names it to AWS's sagemaker-training toolkit, which imports it by itself: this folder is on
the path of a training job, the project is not.
"""

from __future__ import annotations

from sagemaker_training import entry_point, environment, runner  # type: ignore[import-not-found]


def main() -> None:
    """Run the script as scikit-learn's image does."""
    env = environment.Environment()
    entry_point.run(
        env.module_dir,
        env.user_entry_point,
        env.to_cmd_args(),
        env.to_env_vars(),
        capture_error=True,
        runner_type=runner.ProcessRunnerType,
    )
