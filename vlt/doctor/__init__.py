"""What `vlt doctor` looks at: the machine, the packages, the Hub, servers, a cluster and a recipe's needs.

Each check is a function that gives findings; none of them writes (but see cluster), and none imports torch
here.
"""
