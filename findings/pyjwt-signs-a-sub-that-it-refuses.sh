#!/usr/bin/env bash
# PyJWT signs a token whose `sub` is a number, and then refuses it itself.
#
# Seen with PyJWT 2.15.1 of PyPI: `encode` checks that `iss` is a text and raises TypeError otherwise, and takes any
# `sub`. `decode` raises InvalidSubjectError for one that is no text, as RFC 7519 has it. So a backend whose users have
# numbers notices nothing, and whoever verifies its tokens refuses all of them. Write `str(user.id)`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check PyJWT==2.15.1

cat >run.py <<'PY'
import jwt

KEY = "a secret of more than thirty-two bytes"


def tried(step, *arguments):
    try:
        return step(*arguments)
    except Exception as error:
        print(f"{step.__name__} raises {type(error).__name__}: {error}")


tried(jwt.encode, {"iss": 42}, KEY)
token = tried(jwt.encode, {"sub": 42}, KEY)
print("a token with sub 42 is signed:", isinstance(token, str))
tried(jwt.decode, token, KEY, ["HS256"])
PY

seen=$(venv/bin/python run.py)
expected="encode raises TypeError: Issuer (iss) must be a string.
a token with sub 42 is signed: True
decode raises InvalidSubjectError: Subject must be a string"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
