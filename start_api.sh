#!/bin/sh
# The API alone, on http://localhost:8000, with the newest model; arguments are those of `cifar serve`.
cd "$(dirname "$0")" && exec node bin/cifar.mjs serve "$@"
