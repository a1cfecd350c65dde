"""`python -m realqa_cli` is the same as `realqa`."""

from realqa_cli.cli import run_process

if __name__ == "__main__":
    run_process()
