# SPDX-License-Identifier: GPL-2.0-only
"""Results as TAP: tap.sh for tests in Python."""

import shutil
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


def needs(*tools):
    """End the test unless these commands are there: NAME, or NAME:PACKAGE."""
    missing = [tool for tool in tools if not shutil.which(tool.partition(':')[0])]
    if missing:
        sys.exit('%s: not found: %s: on Debian, apt-get install %s' % (
            sys.argv[0].rpartition('/')[2], ' '.join(t.partition(':')[0] for t in missing),
            ' '.join(t.rpartition(':')[2] for t in missing)))


def done_testing():
    """Print the plan; the exit status."""
    print('1..%d' % count)
    return int(failed > 0)
