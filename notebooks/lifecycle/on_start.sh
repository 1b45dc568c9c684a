
# Each time the instance starts.
run_platform start
# Wheels may take longer than a start is allowed to, and the agent runs until the instance stops.
in_background packages
in_background agent
