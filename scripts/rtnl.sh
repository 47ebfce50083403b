#!/usr/bin/env bash
# Whether the kernel still answers questions about network interfaces. All of them wait for one lock (RTNL); whoever holds
# it and dies, as in a fault of the kernel's own, leaves it locked until the machine is started anew. Then nothing that
# asks, not `ip`, not a name look-up, comes back or can be killed. What is read here can be.
#
#   scripts/rtnl.sh     fails and prints why, after two minutes at most, if it doesn't answer
set -euo pipefail
asked=/sys/class/net/lo/carrier
[ -r "$asked" ] || exit 0
for _ in 1 2; do
    status=0
    timeout --signal=KILL 60 cat "$asked" >/dev/null 2>&1 || status=$?
    [ "$status" -ge 124 ] || exit 0
done
echo "the kernel doesn't answer questions about network interfaces (RTNL is locked for good: see dmesg, start the machine anew)"
exit 1
