#!/bin/sh
# Tells whether a webhook of TinyDevCRM is genuine. It reads the request, headers, an empty line and the body, and ends with 0, or
# with 1 and the reason. It needs openssl; the secret is never an argument of a program, where others could see it.
#
#     WEBHOOK_SECRET=whsec_… sh docs/examples/verify.sh <request
set -euf

fail() {
    echo "$1" >&2
    exit 1
}

# xor writes the bytes of a key, given in hexadecimal, each xor a number.
xor() {
    format=
    for byte in $(printf %s "$1" | sed 's/../& /g'); do
        byte=$((0x$byte ^ $2))
        format="$format\\$((byte >> 6))$((byte >> 3 & 7))$((byte & 7))"
    done
    printf "$format"
}

# hmac signs what it reads with a key of 64 bytes, given in hexadecimal.
hmac() {
    { xor "$1" 0x36; cat; } | openssl dgst -sha256 -binary | { xor "$1" 0x5c; cat; } | openssl dgst -sha256 -binary | openssl base64 -A
}

# same compares two texts in a time that tells nothing of them: signed with a key that nobody knows.
same() {
    nobody=$(openssl rand -hex 64)
    [ "$(printf %s "$1" | hmac "$nobody")" = "$(printf %s "$2" | hmac "$nobody")" ]
}

# verify reads the body, byte for byte as it came, and takes the headers webhook-id, webhook-timestamp and webhook-signature.
verify() {
    key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
    [ ${#key} -ge 48 ] && [ ${#key} -le 128 ] || fail "the secret is none"
    key=$(printf %-128s "$key" | tr ' ' 0)
    now=$(date +%s)
    case $2 in '' | *[!0-9]* | ?????????????*) set -- "$1" 0 "$3" ;; esac
    [ "$2" -ge $((now - 300)) ] && [ "$2" -le $((now + 300)) ] || fail "the timestamp is missing, or more than five minutes away"
    want=v1,$({ printf %s "$1.$2."; cat; } | hmac "$key")
    for signature in $3; do
        if same "$signature" "$want"; then return 0; fi
    done
    fail "no signature is by this secret"
}

carriage_return=$(printf '\r')
id='' timestamp='' signatures=''
while IFS= read -r line; do
    line=${line%"$carriage_return"}
    if [ -z "$line" ]; then break; fi
    value=${line#*:}
    value=${value# }
    case $(printf %s "${line%%:*}" | tr '[:upper:]' '[:lower:]') in
    webhook-id) id=$value ;;
    webhook-timestamp) timestamp=$value ;;
    webhook-signature) signatures=$value ;;
    esac
done
WEBHOOK_SECRET=${WEBHOOK_SECRET-}
verify "$id" "$timestamp" "$signatures"
