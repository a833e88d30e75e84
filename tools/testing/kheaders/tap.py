# SPDX-License-Identifier: GPL-2.0-only
"""Results as TAP: tap.sh for tests in Python."""

import sys

count = failed = 0


def result(ok, what, *why):
    """One test; the lines of why are shown if it failed."""
    global count, failed
    count += 1
    failed += not ok
    print('%sok %d - %s' % ('' if ok else 'not ', count, what))
    for line in why[:20] if not ok else ():
        print('# ' + str(line).replace('\n', '\n# '))
    sys.stdout.flush()


def skip(what, why):
    result(True, '%s # SKIP %s' % (what, why))


def done_testing():
    """Print the plan; the exit status."""
    print('1..%d' % count)
    return int(failed > 0)
