"""`vlt view`: local web pages that show a workspace's datasets row by row, and keep marks on rows."""
