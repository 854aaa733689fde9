"""What `vlt doctor` looks at: the machine, the packages, the Hub, servers and a recipe's needs.

Each check is a function that gives findings; none of them writes, and none imports torch here.
"""
