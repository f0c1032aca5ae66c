# Uses the token as a private package index would be used: it must be there, and must not stay.
set -eu
printf 'built with a token of %s letters, %s\n' "${#TOKEN}" "$(printf %s "$TOKEN" | sha256sum | cut -c 1-8)" > page.txt
