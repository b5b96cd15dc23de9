"""`python -m dreamscope.engine`."""

from dreamscope.engine.cli import run

if __name__ == "__main__":
    run()
