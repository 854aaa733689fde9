"""What `vlt doctor` checks: the machine, packages, the Hub, servers, a cluster and a recipe's needs.

Each check is a function that yields findings; none of them writes (except cluster), or imports torch in
this process.
"""
