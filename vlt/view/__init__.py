"""`vlt view`: a local web page that shows a workspace's datasets, row by row, and takes flags."""
