echo "compiling hello.c"
echo "hello.c:3: expected a semicolon" >&2
exit 2
