
# Once, when the instance is created; on_start.sh follows.
run_platform create
