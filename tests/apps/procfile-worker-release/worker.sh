echo "the worker works"
while :; do sleep 1; done
