"""`python -m dreamscope.engine.verify DIR ...`: run golden sets, exit 1 if anything differs."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from dreamscope.engine.devices.registry import DEVICES, open_device
from dreamscope.engine.errors import DreamscopeError
from dreamscope.engine.verify.golden import open_golden
from dreamscope.engine.verify.run import check_golden


def main(argv: list[str] | None = None) -> int:
    """0 if every quantity agrees, 1 if one does not, 2 if a set cannot be run at all."""
    parser = argparse.ArgumentParser(prog="python -m dreamscope.engine.verify", description=__doc__)
    parser.add_argument("folders", nargs="+", metavar="DIR", help="a folder with a golden.json")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to compute, in float32")
    parser.add_argument("--quiet", action="store_true", help="print only failures and the totals")
    options = parser.parse_args(argv)
    totals: Counter[str] = Counter()
    try:
        device = open_device(options.device, "float32")
        for folder in options.folders:
            golden = open_golden(folder)
            print(f"{golden.data['model']} {golden.data['name']} on {device.name}")
            for check in check_golden(golden, device):
                totals[check.status] += 1
                if check.status == "FAIL" or not options.quiet:
                    print(f"  {check.line()}", flush=True)
    except DreamscopeError as error:
        print(error.message, file=sys.stderr)
        return 2
    print(f"{totals['ok']} ok, {totals['FAIL']} failed")
    return 1 if totals["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
